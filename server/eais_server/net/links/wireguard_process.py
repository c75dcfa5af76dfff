"""wireguard-go's processes: started, found again by whoever comes later, and ended.

One carries one tunnel, and outlives the agent, so that traffic goes on while the agent is
started again. Nothing is written down of it: who answers its control socket is the process, and
one that has none (yet) is known by its command line.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from eais_server.net.links.wireguard_uapi import SOCKET_DIR, UapiSocket

#: How long one may take from its start to its first answer, and to end when it is asked to.
START_S: Final = 5.0
END_S: Final = 2.0
_LOOK_AGAIN_S: Final = 0.002
#: What one may say: more is refused it, as nobody reads it once it has started.
_OUTPUT_BYTES: Final = 4096
_ENVIRONMENT: Final = {
    # Older ones end at once, with advice, where the kernel may have the module.
    "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1",
    # Newer ones only give it, but not to what this says is a child of theirs.
    "WG_PROCESS_FOREGROUND": "1",
    "LOG_LEVEL": "error",
}


class StartFault(OSError):
    """It ended at once, or never answered; the text is what it said."""


class WireguardProcesses:
    """Those of one agent, by the names of their interfaces.

    Args:
        sockets: where wireguard-go has its control sockets.
    """

    def __init__(self, sockets: Path = SOCKET_DIR) -> None:
        self._sockets = sockets
        # Ours to wait for, once they have ended.
        self._children: set[int] = set()

    def socket_of(self, interface: str) -> UapiSocket:
        """The control socket of the tunnel `interface`."""
        return UapiSocket(self._sockets / f"{interface}.sock")

    def there(self, interface: str) -> bool:
        """Whether some process has its control socket."""
        try:
            return self.socket_of(interface).pid() is not None
        except OSError:
            return False

    def answers(self, interface: str) -> bool:
        """Whether there is a process, and it says how its tunnel is."""
        self._reap()
        try:
            self.socket_of(interface).get()
        except OSError:
            return False
        return True

    def start(self, program: Path, interface: str) -> None:
        """Start `program` for `interface`, in the caller's network namespace.

        Raises:
            StartFault: it can't be had, and isn't there.
        """
        output = _bounded_memory()
        try:
            pid = self._spawn(program, interface, output)
            if not self._came_up(interface, pid):
                self.end(interface)
                raise StartFault(errno.EIO, _said(output))
        finally:
            os.close(output)

    def end(self, interface: str) -> None:
        """End all that carry `interface`, and take their socket away; none is nothing.

        Raises:
            OSError: one can't be ended; EEXIST: the socket is one's that we didn't start.
        """
        for pid in {*self._by_socket(interface), *self._by_command_line(interface)}:
            self._end(pid, interface)
        if self.there(interface):
            raise OSError(errno.EEXIST, "its control socket is another program's")
        (self._sockets / f"{interface}.sock").unlink(missing_ok=True)
        self._reap()

    def _spawn(self, program: Path, interface: str, output: int) -> int:
        try:
            pid = os.posix_spawn(
                program,
                [os.fspath(program), "-f", interface],
                _ENVIRONMENT,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, output, 1),
                    (os.POSIX_SPAWN_DUP2, output, 2),
                ],
                # What ends the agent from a terminal leaves its tunnels alone.
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE],
            )
        except OSError as error:
            raise StartFault(error.errno, f"{program}: {error.strerror}") from None
        self._children.add(pid)
        return pid

    def _came_up(self, interface: str, pid: int) -> bool:
        until = time.monotonic() + START_S
        fd = os.pidfd_open(pid)
        try:
            while time.monotonic() < until:
                with suppress(FileNotFoundError, ConnectionRefusedError, TimeoutError):
                    self.socket_of(interface).get()
                    return True
                if _ended(fd, _LOOK_AGAIN_S):
                    return False
        finally:
            os.close(fd)
        return False

    def _by_socket(self, interface: str) -> Iterator[int]:
        # One that is stopped still has its socket, though it answers nothing: connecting is enough.
        with suppress(OSError):
            pid = self.socket_of(interface).pid()
            if pid:
                yield pid

    def _by_command_line(self, interface: str) -> Iterator[int]:
        for name in os.listdir("/proc"):
            if name.isdecimal() and _is_ours(int(name), interface):
                yield int(name)

    def _end(self, pid: int, interface: str) -> None:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            # Looked at once more, now that the number can't become another's.
            if _is_ours(pid, interface):
                _end_gently(fd)
        finally:
            os.close(fd)

    def _reap(self) -> None:
        for pid in list(self._children):
            try:
                ended = os.waitpid(pid, os.WNOHANG) != (0, 0)
            except ChildProcessError:
                ended = True
            if ended:
                self._children.discard(pid)


def _is_ours(pid: int, interface: str) -> bool:
    """Whether it was started as ours are, by our user; one that has ended has no command line."""
    process = Path("/proc") / str(pid)
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        if words[1:] != [b"-f", interface.encode(), b""]:
            return False
        status = (process / "status").read_text(encoding="utf-8")
    except OSError:
        return False
    # Not the owner of /proc/PID: that is root's for what may not be traced.
    [users] = [line for line in status.splitlines() if line.startswith("Uid:")]
    return int(users.split()[2]) == os.geteuid()


def _end_gently(fd: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)
        if _ended(fd, END_S):
            return
    raise OSError(errno.EBUSY, "wireguard-go doesn't end")


def _ended(fd: int, wait_s: float) -> bool:
    return bool(select.select([fd], [], [], wait_s)[0])


def _bounded_memory() -> int:
    """A file without a name that holds `_OUTPUT_BYTES` and takes no more."""
    fd = os.memfd_create("wireguard-go", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, _OUTPUT_BYTES)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return fd


def _said(output: int) -> str:
    text = os.pread(output, _OUTPUT_BYTES, 0).rstrip(b"\0").decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if "ERROR" in line]
    return lines[-1] if lines else "it doesn't answer"
