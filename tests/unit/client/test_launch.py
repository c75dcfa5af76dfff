"""What a command's files show of the Python that will run it."""

from __future__ import annotations

import pytest

from eais_client.run.launch import Launch, examine

PYTHON = b"\x7fELF\x02"


def find(name: str) -> str | None:
    return {"python3": "/usr/bin/python3", "python": "/venv/bin/python"}.get(name)


def script(first: str, rest: str = "") -> Launch:
    return examine("/venv/bin/app", ["--size", "1"], f"{first}\n{rest}".encode(), find)


@pytest.mark.parametrize(
    "path", ["/usr/bin/python3", "/venv/bin/python", "/opt/python3.13t", "/opt/pypy3.11"]
)
def test_an_interpreter_is_seen_by_its_name(path: str) -> None:
    assert examine(path, ["x.py"], PYTHON, find) == Launch(path, path)


def test_a_script_that_is_called_python_is_asked_as_one() -> None:
    shim = examine("/shims/python3", ["-I", "x.py"], b"#!/usr/bin/env bash\n", find)
    assert shim == Launch("/shims/python3", "/shims/python3", "I")


@pytest.mark.parametrize(
    ("args", "flags"),
    [
        (["x.py", "-I"], ""),
        (["-m", "app", "-E"], ""),
        (["-c", "pass", "-S"], ""),
        (["-", "-S"], ""),
        (["-I", "x.py"], "I"),
        (["-Es", "x.py"], "E"),
        (["-u", "-S", "-B", "x.py"], "S"),
        (["-X", "I", "x.py"], ""),
        (["-W", "E", "-S", "x.py"], "S"),
        (["-Xdev", "-WE", "x.py"], ""),
        (["-ISc", "pass"], "IS"),
        (["--check-hash-based-pycs", "x.py"], ""),
    ],
)
def test_flags_are_the_interpreters_own(args: list[str], flags: str) -> None:
    assert examine("/usr/bin/python3", args, PYTHON, find).flags == flags


@pytest.mark.parametrize(
    ("first", "interpreter", "flags"),
    [
        ("#!/venv/bin/python", "/venv/bin/python", ""),
        ("#! /usr/bin/python3 -Es", "/usr/bin/python3", "E"),
        ("#!/usr/bin/env python3", "/usr/bin/python3", ""),
        ("#!/usr/bin/env -S A=1 python -I", "/venv/bin/python", "I"),
        ("#!/usr/bin/env python9", "python9", ""),
        ("#!/bin/sh", "", ""),
        ("#!", "", ""),
        ("#!/usr/bin/env 'unclosed", "", ""),
    ],
)
def test_a_script_names_its_interpreter(first: str, interpreter: str, flags: str) -> None:
    assert script(first) == Launch("/venv/bin/app", interpreter, flags)


@pytest.mark.parametrize("quoted", ['"/a folder/bin/python"', "/a/bin/python"])
def test_a_script_with_a_long_or_spaced_path_names_it_in_its_second_line(quoted: str) -> None:
    made = script("#!/bin/sh", f"""'''exec' {quoted} "$0" "$@"\n' '''\nimport sys""")
    assert made.interpreter == quoted.strip('"')


def test_machine_code_and_unknown_files_name_none() -> None:
    assert examine("/bin/ls", [], b"\x7fELF\x02", find) == Launch("/bin/ls", binary=True)
    assert examine("/bin/odd", [], b"", find) == Launch("/bin/odd")


def test_what_keeps_the_hook_out_is_named() -> None:
    assert Launch("p", "p", "S").shut_out() == "-S, which doesn't load sitecustomize"
    assert Launch("p", "p").shut_out() == ""
