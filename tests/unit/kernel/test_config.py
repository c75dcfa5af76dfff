"""One loader: precedence, types, and mistakes by name."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

import pytest

from eais.config import load
from eais.errors import ConfigError
from eais.paths import config_dir, state_dir
from eais.toml_file import TomlFile


@dataclass(frozen=True)
class Settings:
    spares: int = 1
    grace_s: float = 2.0
    bind: str | None = None
    warm: bool = True
    root: Path | None = None

    def __post_init__(self) -> None:
        if self.spares < 0:
            raise ValueError(f"spares = {self.spares} must be >= 0")


def make(
    tmp_path: Path,
    text: str = "",
    environ: dict[str, str] | None = None,
    **flags: object,
) -> Settings:
    file = tmp_path / "c.toml"
    file.write_text(text)
    return load(
        Settings, table="listener", flags=flags, environ=environ or {}, file=TomlFile.read(file)
    )


def test_defaults(tmp_path: Path) -> None:
    assert make(tmp_path) == Settings()


def test_flag_over_variable_over_file(tmp_path: Path) -> None:
    text = "[listener]\nspares = 2\ngrace_s = 3\nwarm = false\n"
    got = make(tmp_path, text, {"EAIS_SPARES": "4", "EAIS_GRACE_S": "5"}, spares=6, bind=None)
    assert got == Settings(spares=6, grace_s=5.0, warm=False)


def test_variables_are_read_by_the_fields_type(tmp_path: Path) -> None:
    got = make(tmp_path, "", {"EAIS_WARM": "no", "EAIS_ROOT": "/x", "EAIS_BIND": "127.0.0.1"})
    assert got == Settings(warm=False, root=Path("/x"), bind="127.0.0.1")


@pytest.mark.parametrize(
    ("text", "environ", "names"),
    [
        ("[listener]\nspare = 1", {}, "spare"),
        ("[listener]\nspares = 'many'", {}, "c.toml:2:1: spares = 'many' is not int"),
        ("[listener]\nspares = true", {}, "spares = True is not int"),
        ("[listener]\nspares = 2.5", {}, "spares = 2.5 is not int"),
        ("[listener]\ngrace_s = inf", {}, "grace_s = inf is not float"),
        ("[listener]\ngrace_s = 1{}".format("0" * 400), {}, "is not float"),
        ("[listener]\nbind = 7", {}, "bind = 7 is not str"),
        ("[listener\n", {}, "c.toml:1:10: Expected"),
        ("listener = 3", {}, "must be a table"),
        ("", {"EAIS_GRACE_S": "soon"}, "EAIS_GRACE_S = 'soon' is not float"),
        ("", {"EAIS_GRACE_S": "nan"}, "EAIS_GRACE_S = nan is not float"),
        ("", {"EAIS_WARM": "maybe"}, "EAIS_WARM = 'maybe' is not bool"),
        ("[listener]\n\n  spares = -1", {}, "c.toml:3:3: [listener] spares = -1 must be >= 0"),
        ("[listener]\nspares = 1", {"EAIS_SPARES": "-1"}, "[listener] spares = -1 must be >= 0"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, environ: dict[str, str], names: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(tmp_path, text, environ)
    assert caught.value.reason == "CONFIG"
    assert names in caught.value.message


def test_no_file_is_no_mistake(tmp_path: Path) -> None:
    nowhere = tmp_path / "none.toml"
    got = load(Settings, table="listener", flags={}, environ={}, file=TomlFile.read(nowhere))
    assert got == Settings()


def test_xdg() -> None:
    assert config_dir({"HOME": "/h"}) == Path("/h/.config/eais")
    assert config_dir({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}) == Path("/c/eais")
    assert state_dir({"HOME": "/h", "XDG_STATE_HOME": "relative"}) == Path("/h/.local/state/eais")
    assert state_dir({"HOME": "/h", "EAIS_STATE_DIR": "/s"}) == Path("/s")


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}])
def test_without_home_places_are_the_users_all_the_same(environ: dict[str, str]) -> None:
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert config_dir(environ) == home / ".config/eais"
    assert state_dir(environ) == home / ".local/state/eais"
