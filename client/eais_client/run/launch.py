"""What a command will run, as far as its files show: which Python, with which flags. (Brain)

The program decides in the end; this is what can be said before it runs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

#: How much of a file is looked at to see what it is.
HEAD_BYTES: Final = 4096
# Python's flags that keep PYTHONPATH or sitecustomize out, and what each of them does.
_SHUT_OUT: Final = {
    "I": "ignores PYTHONPATH and the user's environment",
    "E": "ignores PYTHONPATH",
    "S": "doesn't load sitecustomize",
}
_PYTHON: Final = re.compile(r"(python|pypy)\d*(\.\d+)*t?")
_WITH_VALUE: Final = frozenset("WX")
_ENDS: Final = frozenset("cm")
# How pip and uv begin a script whose interpreter has a path too long, or with spaces, for "#!".
_SHELL_TRICK: Final = re.compile(r"^'''exec' (?:\"(/[^\"]+)\"|(/\S+)) \"\$0\"", re.MULTILINE)
_ELF: Final = b"\x7fELF"


@dataclass(frozen=True, slots=True)
class Launch:
    """What `eais run` starts.

    Attributes:
        path: the file to execute.
        interpreter: the Python that will run it, or "" if the file doesn't show one.
        flags: what keeps EAIS out of that Python: some of the letters I, E, S.
        binary: whether the file is machine code, and no Python.
    """

    path: str
    interpreter: str = ""
    flags: str = ""
    binary: bool = False

    def shut_out(self) -> str:
        """Why the hook won't be loaded, "" if it will."""
        found = [f"-{flag}, which {_SHUT_OUT[flag]}" for flag in _SHUT_OUT if flag in self.flags]
        return found[0] if found else ""


def examine(
    path: str, args: Sequence[str], head: bytes, find: Callable[[str], str | None]
) -> Launch:
    """What executing the file at `path`, which begins with `head`, with `args` runs.

    `find` gives the path of a command, as the shell would.
    """
    if _is_python(path):  # also a script of that name, as version managers have
        return Launch(path, path, _flags(args))
    if head.startswith(b"#!"):
        return _of_script(path, head.decode(errors="replace"), find)
    return Launch(path, binary=head.startswith(_ELF))


def _of_script(path: str, text: str, find: Callable[[str], str | None]) -> Launch:
    words = _words(text.partition("\n")[0][2:])
    if words and PurePath(words[0]).name == "env":
        words = [word for word in words[1:] if word != "-S" and "=" not in word]
        words[:1] = [find(word) or word for word in words[:1]]
    if words and _is_python(words[0]):
        return Launch(path, words[0], _flags(words[1:]))
    found = _SHELL_TRICK.search(text)
    return Launch(path, (found[1] or found[2]) if found else "")


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _is_python(path: str) -> bool:
    return _PYTHON.fullmatch(PurePath(path).name) is not None


def _flags(args: Sequence[str]) -> str:
    """The letters of `_SHUT_OUT` among the interpreter's own arguments."""
    found = set[str]()
    skip = False
    for arg in args:
        if skip:
            skip = False
        elif not arg.startswith("-") or arg in ("-", "--"):
            break
        elif not arg.startswith("--"):
            letters, last = _letters(arg)
            found |= letters
            if last in _ENDS:
                break
            skip = last in _WITH_VALUE and arg.endswith(last)
    return "".join(flag for flag in _SHUT_OUT if flag in found)


def _letters(arg: str) -> tuple[set[str], str]:
    """The flags in one argument such as "-Im", and the last of them, which may take a value."""
    seen = set[str]()
    for letter in arg[1:]:
        if letter in _ENDS | _WITH_VALUE:
            return seen, letter
        seen.add(letter)
    return seen, ""
