"""Files of settings: what can't be read, and where it says what."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from eais.config import read_pool_file
from eais.errors import ConfigError
from eais.toml_file import LIMIT_BYTES, TomlFile

TEXT = """\
# [manager]
current = "x"

[manager]
  tick_s = 1  # ["no", "header"]
"run.timeout" = 3

[ quota . tenants . "ac.me" ]
instances = 1
[quota.tenants]
beta.cpu = 2
many = [
  ["a", "b"],
  [1]]
[[listener]]
spares = 1
"""


def refused(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        TomlFile.read(file)
    assert caught.value.reason == "CONFIG"
    return caught.value.message


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("current",), "2:1"),
        (("manager",), "4:1"),
        (("manager", "tick_s"), "5:3"),
        (("manager", "run.timeout"), "6:1"),
        (("manager", "absent"), "4:1"),
        (("quota", "tenants", "ac.me"), "8:1"),
        (("quota", "tenants", "ac.me", "instances"), "9:1"),
        (("quota", "tenants", "beta"), "11:1"),
        (("quota", "tenants", "beta", "cpu"), "11:1"),
        (("listener", "spares"), "16:1"),
    ],
)
def test_the_place_of_what_is_named(tmp_path: Path, path: tuple[str, ...], place: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(TEXT)
    assert TomlFile.read(file).place(*path) == f"{file}:{place}"


def test_what_the_file_does_not_name_has_the_files_place(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("\n")
    assert TomlFile.read(file).place("manager", "tick_s") == str(file)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[manager", "c.toml:1:9: Expected ']'"),
        ("[manager\n", "c.toml:1:9: Expected ']'"),
        ("a = 1\na = 2\n", "c.toml:2:6: Cannot overwrite a value"),
        ("a: 1", "c.toml:1:2: Expected '='"),
        ("a = " + "[\n" * 20_000, "nested too deeply"),
        ("a = " + "{x=" * 600, "nested too deeply"),
        (".".join("a" * 2_000) + " = 1", "a line of more than 2048 characters"),
        ("a = 1" + "0" * 1_900 + ".0\na = 2", "c.toml:2:6: Cannot overwrite a value"),
        ("#\n" * LIMIT_BYTES, f"larger than {LIMIT_BYTES} bytes"),
    ],
    ids=["header", "line", "twice", "yaml", "arrays", "tables", "keys", "float", "huge"],
)
def test_what_is_no_file_of_settings_is_said(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    assert says in refused(file)


def test_a_file_at_all_limits_takes_no_time_to_speak_of(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    line = ".".join("a" * 1_000) + "{} = 1\n"
    file.write_text("".join(line.format(n) for n in range(30)))
    with pytest.raises(ConfigError, match=r"c.toml:1:1: the file has no 'a'"):
        read_pool_file(file)


def test_bytes_that_are_no_text_are_said(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(b"a = '\xff'")
    assert "can't decode byte 0xff" in refused(file)


def test_what_is_no_file_at_all_is_said(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "no regular file" in refused(pipe)
    assert "no regular file" in refused(Path("/dev/zero"))
    assert "irectory" in refused(tmp_path)


def test_an_absent_file_says_nothing(tmp_path: Path) -> None:
    found = TomlFile.read(tmp_path / "none.toml")
    assert (found.there, found.table("manager")) == (False, {})


def test_a_pools_file_must_be_there_and_have_nobodys_table(tmp_path: Path) -> None:
    file = tmp_path / "pool.toml"
    assert read_pool_file(None) is None
    with pytest.raises(ConfigError, match="no such file"):
        read_pool_file(file)
    file.write_text("[manager]\n[listner]\nspares = 1\n")
    with pytest.raises(ConfigError, match=r"pool.toml:2:1: the file has no 'listner'; known: sup"):
        read_pool_file(file)


def test_a_table_that_is_none_is_said(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[quota]\ntenants = 3\n")
    with pytest.raises(ConfigError, match=r"c.toml:2:1: quota.tenants must be a table"):
        TomlFile.read(file).table("quota", "tenants", "acme")
