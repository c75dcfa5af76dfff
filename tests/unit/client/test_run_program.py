"""A program is looked at before it runs, and Pythons are asked; the real ones of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from eais.errors import UsageError
from eais_client.run.environment import Settings, environ_below
from eais_client.run.launch import Launch
from eais_client.run.program import Probed, ask_python, check_program, find_program
from tests.bare_python import bare_python

BELOW = environ_below(os.environ, Settings())
GOOD = Probed(hooked=True, fault="")


def refusal(launch: Launch, probed: Probed = GOOD) -> str:
    with pytest.raises(UsageError) as caught:
        check_program(launch, lambda interpreter, environ: probed, {})
    assert caught.value.reason == "PROGRAM"
    return caught.value.message


def test_this_python_can_be_used() -> None:
    assert ask_python(sys.executable, BELOW) == GOOD


def test_a_python_without_the_folder_isnt_hooked() -> None:
    assert ask_python(sys.executable, os.environ).hooked is False


def test_a_python_without_eais_says_what_it_lacks(tmp_path: Path) -> None:
    bare = bare_python(tmp_path, without="_eais")
    assert ask_python(str(bare), BELOW) == Probed(
        hooked=True, fault="it has no EAIS of this version: No module named 'eais_client'"
    )


def test_a_python_that_says_nothing_is_none(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(UsageError, match="can't be run: broken"):
        ask_python(str(broken), BELOW)


def test_words_of_the_environments_own_hooks_are_no_answer(tmp_path: Path) -> None:
    (tmp_path / "usercustomize.py").write_text("print('hello')\n")
    environ = {**BELOW, "PYTHONPATH": f"{BELOW['PYTHONPATH']}:{tmp_path}"}
    assert ask_python(sys.executable, environ) == GOOD


def test_what_keeps_the_hook_out_is_said_before() -> None:
    assert refusal(Launch("p", "/bin/python3", "I")).startswith(
        "/bin/python3 is run with -I, which ignores PYTHONPATH"
    )


def test_a_python_that_wont_do_is_named_and_what_to_install() -> None:
    with pytest.raises(UsageError) as caught:
        check_program(Launch("p", "/b/python"), lambda *_: Probed(True, "it is old"), {})
    assert caught.value.message == "onnxruntime can't be replaced in /b/python: it is old"
    assert caught.value.hint == "/b/python -m pip install eais"


def test_a_python_that_didnt_load_the_hook_is_named() -> None:
    text = "doesn't load sitecustomize from PYTHONPATH"
    assert text in refusal(Launch("p", "/b/python"), Probed(hooked=False, fault=""))


def test_machine_code_with_onnxruntimes_library_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "detect"
    program.write_bytes(b"\x7fELF" + bytes(100) + b"libonnxruntime.so.1\0")
    assert "linked with onnxruntime's library" in refusal(Launch(str(program), binary=True))


def test_other_machine_code_is_nobodys_business() -> None:
    asked: list[str] = []

    def probe(interpreter: str, environ: Mapping[str, str]) -> Probed:
        asked.append(interpreter)
        return GOOD

    check_program(Launch("/bin/sh", binary=True), probe, BELOW)
    assert asked == []


def test_commands_are_found_as_the_program_would_find_them(tmp_path: Path) -> None:
    script = tmp_path / "app"
    script.write_text(f"#!{sys.executable}\n")
    script.chmod(0o755)
    found = find_program(["app"], {"PATH": f"/nowhere:{tmp_path}"})
    assert found == Launch(str(script), sys.executable)


def test_what_isnt_there_or_may_not_run_is_said(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UsageError, match="no-such-command: the command isn't there"):
        find_program(["no-such-command"], os.environ)
    with pytest.raises(UsageError, match="may not be executed"):
        find_program([str(file)], os.environ)


BECOME = """
import os, sys
from eais_client.run.program import become
print("first")
become(sys.argv[1], sys.argv[1:], {"A": "1"})
"""


def test_the_program_takes_the_place_of_the_process(tmp_path: Path) -> None:
    script = tmp_path / "app"
    script.write_text("#!/bin/sh\ngrep SigIgn /proc/self/status\nenv\nkill -s TERM $$\n")
    script.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", BECOME, str(script)], capture_output=True, text=True, timeout=60
    )
    first, ignored, *environ = done.stdout.splitlines()
    assert (first, done.returncode) == ("first", -signal.SIGTERM)
    assert int(ignored.split()[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0
    assert "A=1" in environ


def test_what_the_kernel_wont_run_is_said(tmp_path: Path) -> None:
    script = tmp_path / "app"
    script.write_text("print(1)\n")
    script.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", BECOME, str(script)], capture_output=True, text=True, timeout=60
    )
    assert "Exec format error" in done.stderr
    assert "PROGRAM" in done.stderr
