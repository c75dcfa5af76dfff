"""A real terminal: a program below tmux, keys that are typed there, and what it shows."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TMUX = shutil.which("tmux")
WHY_NOT = "there is no tmux here, which is the real terminal"
_UTF8 = {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}


@dataclass(frozen=True)
class Screen:
    """One terminal, on a tmux server of its own at `socket`."""

    socket: Path

    def text(self) -> str:
        """What is shown now, without the spaces at the ends of lines."""
        return self._tmux("capture-pane", "-p", "-t", "0").stdout.rstrip("\n")

    def colours(self) -> str:
        """What is shown now, with the escapes of its colours."""
        return self._tmux("capture-pane", "-p", "-e", "-t", "0").stdout

    def press(self, key: str) -> None:
        """Type a key, as tmux calls it: "q", "C-c"."""
        self._tmux("send-keys", "-t", "0", key)

    def resize(self, columns: int, lines: int) -> None:
        """Another size from now on."""
        self._tmux("resize-window", "-t", "0", "-x", str(columns), "-y", str(lines))

    def _tmux(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return tmux(self.socket, argv)


def tmux(socket: Path, argv: Sequence[str], **environ: str) -> subprocess.CompletedProcess[str]:
    """Run tmux on the server at `socket`."""
    assert TMUX is not None, WHY_NOT
    done = subprocess.run(
        [TMUX, "-u", "-f", os.devnull, "-S", str(socket), *argv],
        env={"PATH": os.environ["PATH"], **_UTF8, **environ},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, f"tmux {argv}: {done.stderr}"
    return done


@contextlib.contextmanager
def screen(
    folder: Path,
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    columns: int = 100,
    lines: int = 24,
) -> Iterator[Screen]:
    """A terminal of that size in which a shell has been told to run `command`."""
    # A server that is told to end is there for a moment yet: each has its own place.
    socket = folder / f"tmux-{secrets.token_hex(4)}"
    shell = ["env", "-i", *(f"{name}={value}" for name, value in environ.items())]
    shell += [f"LC_ALL={_UTF8['LC_ALL']}", "TERM=screen-256color", "PS1=$ ", "sh"]
    size = ("-x", str(columns), "-y", str(lines))
    tmux(socket, ["new-session", "-d", *size, shlex.join(shell)], HOME=str(folder))
    try:
        made = Screen(socket)
        tmux(socket, ["send-keys", "-t", "0", shlex.join(command), "Enter"])
        yield made
    finally:
        tmux(socket, ["kill-server"])
