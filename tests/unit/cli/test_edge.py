from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eais.errors import REASONS, ConfigError, EaisError
from eais_client.cli.edge import as_eais_error, run
from eais_client.cli.main import main
from eais_client.cli.outside import or_nowhere
from eais_client.cli.testing import FakeOutside, Said

SUBCOMMANDS = [
    *("create", "attach", "start", "stop", "detach", "delete", "describe", "list", "devices"),
    *("demo", "version", "pool up", "pool down", "pool status", "pool roll-ca"),
    *("pool listener", "listener up", "listener down", "listener status"),
    *("context list", "context use", "context show"),
    *("token create", "tenant create", "tenant list", "tenant quota"),
    *("host list", "host cordon", "host uncordon", "drain", "defrag", "force-detach", "join"),
    "doctor",
]


def ending_with(outside: FakeOutside, error: BaseException, *argv: str) -> Said:
    def app(args: list[str], **settings: object) -> object:
        raise error

    out, err = io.StringIO(), io.StringIO()
    code = run(app, argv, outside.outside(out, err))
    return Said(code, out.getvalue(), err.getvalue())


@pytest.mark.parametrize(
    "argv",
    [
        ("lst",),
        ("attach", "--typ", "cpu"),
        ("create",),
        ("list", "-o", "xml"),
        ("pool", "up", "--cpu-cores", "0"),
        ("pool", "up", "--config", "no-such-file"),
        ("pool", "sideways"),
        ("start", "ei-1", "ei-2"),
    ],
)
def test_a_usage_error_is_one_line_too(eais: FakeOutside, argv: tuple[str, ...]) -> None:
    said = eais.run(*argv)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("error: ARGUMENT: ")
    assert said.err.count("\n") == 1
    assert " --help)" in said.err


def test_a_bug_is_one_line_without_traceback(eais: FakeOutside) -> None:
    said = ending_with(eais, ZeroDivisionError("by\nzero"))
    assert said.code == 5
    assert said.err == "error: BUG: ZeroDivisionError: by zero (run again with --debug)\n"


def test_debug_shows_the_traceback(eais: FakeOutside) -> None:
    said = ending_with(eais, ZeroDivisionError("by zero"), "--debug")
    assert said.err.startswith("Traceback (most recent call last):\n")
    assert said.err.splitlines()[-1].startswith("error: BUG: ")


def test_debug_by_variable(eais: FakeOutside) -> None:
    eais.environ["EAIS_DEBUG"] = "1"
    assert "Traceback" in ending_with(eais, ConfigError("CONFIG", "x")).err


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (BrokenPipeError(), 0), (SystemExit(143), 143)],
)
def test_ends_without_a_word(eais: FakeOutside, error: BaseException, code: int) -> None:
    said = ending_with(eais, error)
    assert (said.code, said.err) == (code, "")


def test_ctrl_c_inside_a_command_is_130(eais: FakeOutside) -> None:
    def interrupted(*args: object, **settings: object) -> object:
        raise KeyboardInterrupt

    eais.pool.call = interrupted  # type: ignore[assignment,method-assign]
    said = eais.run("list")
    assert (said.code, said.out, said.err) == (130, "", "")


def test_a_full_disk_names_the_file() -> None:
    told = as_eais_error(OSError(errno.ENOSPC, "No space left on device", "/x/config.toml"))
    assert str(told) == "STATE_DIR: /x/config.toml: No space left on device"


def test_a_config_folder_that_is_none_is_said(eais: FakeOutside) -> None:
    eais.environ["EAIS_CONFIG_DIR"] = str(eais.store.file / "below")
    said = eais.run("context", "use", "local")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "Not a directory" in said.err


@pytest.mark.parametrize("words", SUBCOMMANDS)
def test_help_of_every_command_has_examples_and_fits_80_columns(
    eais: FakeOutside, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert eais.run(*words.split(), "--help").code == 0
    text = capsys.readouterr().out
    assert "Examples:\n" in text
    assert f"    eais {words}" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    "group", ["", "pool", "listener", "context", "host", "tenant", "token", "net"]
)
def test_a_group_alone_prints_its_help(
    eais: FakeOutside, group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert eais.run(*group.split()).code == 0
    text = capsys.readouterr().out
    assert "Commands:" in text
    assert "..." not in text.split("Commands:")[1]


def test_version_by_the_flag_that_people_try(
    eais: FakeOutside, capsys: pytest.CaptureFixture[str]
) -> None:
    assert eais.run("--version").code == 0
    assert capsys.readouterr().out == "eais 0.1.0\n"


def test_version(eais: FakeOutside) -> None:
    assert eais.run("version", "-o", "json").data == {"version": "0.1.0", "wire": 1}
    assert eais.run("version").out == "eais 0.1.0 (wire version 1)\n"


@pytest.mark.parametrize("make", [as_eais_error])
def test_every_reason_told_here_is_of_the_table(make: Callable[[Exception], EaisError]) -> None:
    errors: list[Exception] = [OSError(1, "x"), PermissionError("x"), ValueError("x")]
    assert {make(error).reason for error in errors} <= set(REASONS)


def test_a_broken_context_file_names_its_place(eais: FakeOutside) -> None:
    Path(eais.store.file).write_text('current = "x"\n')
    said = eais.run("list")
    assert said.code == 2
    assert said.err.startswith("error: CONFIG: ")
    assert "config.toml:1:1" in said.err


class Full(io.StringIO):
    """A stream on a full disk."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_answer_that_cannot_be_written_is_said(eais: FakeOutside) -> None:
    err = io.StringIO()
    assert main(["version"], eais.outside(Full(), err)) == 2
    assert err.getvalue() == "error: STATE_DIR: standard output: No space left on device\n"


def test_where_nothing_can_be_said_the_code_says_it(eais: FakeOutside) -> None:
    assert main(["describe", "ei-none"], eais.outside(err=Full())) == 2


def test_a_stream_that_was_closed_keeps_nothing() -> None:
    with or_nowhere(None) as stream:
        print("words", file=stream, flush=True)
        assert stream.name == os.devnull
    assert or_nowhere(sys.stdout) is sys.stdout
