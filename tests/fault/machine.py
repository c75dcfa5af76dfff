"""A user of this machine whose programs meet what is wrong with it."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.system.terminal import PROGRAM, Terminal

_PR_CAPBSET_DROP = 24
_LIBC = ctypes.CDLL(None)
_ERROR = re.compile(r"error: ([A-Z_]+): .+\n")
_MODULES = {
    "manager": "eais_pool.manager",
    "listener": "eais_server.listener",
    "supervisor": "eais_pool.supervisor",
}


def as_ordinary_user() -> None:
    """Root's privileges go with the next exec: modes of files hold for it as for anybody."""
    capability = 0
    while _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1


@dataclass(frozen=True)
class Said:
    """What a program said, and how it ended."""

    code: int
    out: str
    err: str

    def refuses(self, reason: str, *words: str, code: int = 2) -> None:
        """One line of error with that reason and these words, the exit code, and no more."""
        assert (self.code, self.out) == (code, ""), self
        line = self.err.splitlines(keepends=True)[-1]
        found = _ERROR.fullmatch(line)
        assert found is not None, self
        assert found[1] == reason, self
        for word in words:
            assert word in line, self
        for never in ("Traceback", 'File "', "BUG", "site-packages"):
            assert never not in self.err, self


@dataclass(frozen=True)
class Machine:
    """Runs `eais` and the pool's programs as an ordinary user, below `home`."""

    home: Path

    @property
    def terminal(self) -> Terminal:
        """The user's environment."""
        return Terminal(self.home)

    def eais(self, *argv: str, shell: str = "", within: Sequence[str] = ()) -> Said:
        """`eais ...`; `shell`: redirections; `within`: what the command line is given to."""
        return self._run([*within, PROGRAM, *argv], shell, ordinary=not within)

    def program(self, name: str, *argv: str, shell: str = "", within: Sequence[str] = ()) -> Said:
        """ "manager", "listener" or "supervisor" with its state in `home`/s, until it ends."""
        return self._run([*within, *self.command(name), *argv], shell, ordinary=not within)

    def command(self, name: str) -> list[str]:
        """The command line of a program of the pool."""
        state = str(self.home / "s")
        own = {
            "manager": ["--state-dir", state],
            "listener": ["--state-dir", f"{state}/listener", "--pool-file", f"{state}/ready.json"],
            "supervisor": ["--state-dir", state, "--owner-dir", f"{state}/owner"],
        }
        return [sys.executable, "-m", _MODULES[name], *own[name]]

    def _run(self, command: Sequence[str], shell: str, *, ordinary: bool) -> Said:
        done = subprocess.run(
            ["/bin/sh", "-c", f'exec "$0" "$@" {shell}', *command],
            env=self.terminal.environ,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=30,
            preexec_fn=as_ordinary_user if ordinary else None,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def start(self, name: str, *argv: str, shell: str = "") -> subprocess.Popen[bytes]:
        """Start a program of the pool and leave it running."""
        return subprocess.Popen(
            ["/bin/sh", "-c", f'exec "$0" "$@" {shell}', *self.command(name), *argv],
            env=self.terminal.environ,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=as_ordinary_user,
        )


@cache
def can_mount() -> str:
    """Why file systems can't be mounted here, "" if they can."""
    done = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True
    )
    return done.stderr.strip() if done.returncode else ""


def in_own_mounts(options: str, folder: Path) -> list[str]:
    """What makes `folder` a file system of its own for the rest of a command, and for it alone."""
    mount = f'mount -t tmpfs -o {options} tmpfs {folder} && exec "$0" "$@"'
    return ["unshare", "-rm", "/bin/sh", "-c", mount]


def descriptors(pid: int) -> dict[int, str]:
    """Where the standard streams of a process lead."""
    return {number: str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in (0, 1, 2)}
