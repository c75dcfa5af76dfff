"""The program that `eais run` starts: found, looked at, asked, and then become."""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eais.errors import UsageError
from eais_client.run.launch import HEAD_BYTES, Launch, examine

PROBE_S: Final = 60.0
# What each Python that EAIS supports, and each that it doesn't, can say of itself.
_PROBE: Final = """
import sys
hooked = any(getattr(each, "eais_run", False) for each in sys.meta_path)
fault = ""
if sys.version_info < (3, 11):
    fault = "it is Python %d.%d, and EAIS needs 3.11 or newer" % sys.version_info[:2]
else:
    try:
        import eais_client.run.modules
    except ImportError as error:
        fault = "it has no EAIS of this version: %s" % (error,)
print("eais-run|%d|%s" % (hooked, fault))
"""
_OWN_LIBRARY: Final = b"libonnxruntime"
_ANOTHER_WAY: Final = "or have the program itself `import eais as onnxruntime`"


@dataclass(frozen=True, slots=True)
class Probed:
    """What a Python says of itself.

    Attributes:
        hooked: whether the hook was loaded in it.
        fault: why nothing can stand in for onnxruntime there, or "".
    """

    hooked: bool
    fault: str


Probe = Callable[[str, Mapping[str, str]], Probed]


def find_program(command: Sequence[str], environ: Mapping[str, str]) -> Launch:
    """What `command` runs; `UsageError` PROGRAM if it can't be executed."""

    def find(name: str) -> str | None:
        return shutil.which(name, path=environ.get("PATH", os.defpath))

    path = find(command[0])
    if path is None:
        there = Path(command[0]).exists() and "/" in command[0]
        text = "may not be executed" if there else "isn't there"
        raise UsageError("PROGRAM", f"{command[0]}: the command {text}")
    return examine(path, command[1:], _head(path), find)


def check_program(launch: Launch, probe: Probe, environ: Mapping[str, str]) -> None:
    """`UsageError` PROGRAM if it shows already that onnxruntime can't be replaced in it."""
    if why := launch.shut_out():
        text = f"{launch.interpreter} is run with {why}: nothing can stand in for onnxruntime"
        raise UsageError("PROGRAM", text, hint=f"run it without that flag, {_ANOTHER_WAY}")
    if launch.binary and _uses_library(launch.path):
        text = f"{launch.path} is linked with onnxruntime's library: a program in Python is wanted"
        raise UsageError("PROGRAM", text)
    if launch.interpreter:
        _check_python(launch.interpreter, probe(launch.interpreter, environ))


def _check_python(interpreter: str, probed: Probed) -> None:
    if probed.fault:
        text = f"onnxruntime can't be replaced in {interpreter}: {probed.fault}"
        raise UsageError("PROGRAM", text, hint=f"{interpreter} -m pip install eais")
    if not probed.hooked:
        text = f"{interpreter} doesn't load sitecustomize from PYTHONPATH"
        raise UsageError("PROGRAM", text, hint=f"name the interpreter itself, {_ANOTHER_WAY}")


def ask_python(interpreter: str, environ: Mapping[str, str]) -> Probed:
    """What `interpreter` says of itself in that environment; PROGRAM if it says nothing."""
    try:
        done = subprocess.run(
            [interpreter, "-c", _PROBE],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError("PROGRAM", f"{interpreter} can't be run: {error}") from None
    for line in reversed(done.stdout.splitlines()):
        word, _, rest = line.partition("|")
        if word == "eais-run":
            hooked, _, fault = rest.partition("|")
            return Probed(hooked == "1", fault)
    last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
    raise UsageError("PROGRAM", f"{interpreter} can't be run: {last}")


def become(path: str, argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Become the program; doesn't return. `UsageError` PROGRAM if the kernel won't run it.

    Signals are as this process was given them: Python ignores some that its children shouldn't.
    """
    for name in ("SIGPIPE", "SIGXFZ", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.flush()
    try:
        os.execve(path, list(argv), dict(environ))
    except OSError as error:
        text = f"{path}: {error.strerror}"
        raise UsageError(
            "PROGRAM", text, hint="a script begins with #! and its interpreter"
        ) from None


def _head(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""  # a program may be executed and not read


def _uses_library(path: str) -> bool:
    try:
        with (
            Path(path).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return data.find(_OWN_LIBRARY) >= 0
    except (OSError, ValueError):
        return False
