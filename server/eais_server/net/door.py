"""The agent's socket: who is there, and a reply to each packet, one after the other.

One thread does it all. Nobody is waited for: who sends nothing costs a descriptor, of which each
user may have a few, and who doesn't read its answer is left.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import selectors
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from eais.errors import ConfigError
from eais.net.asking import MAX_PACKET_BYTES
from eais_server.net.answers import too_large
from eais_server.net.brain.records import Asker

log = logging.getLogger(__name__)

Reply = Callable[[Asker, bytes], bytes]

MOST_LINES: Final = 256
MOST_LINES_A_USER: Final = 32
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred, linux/socket.h
_SIOCGSKNS: Final = 0x894C  # linux/sockios.h
_LISTEN: Final = 1024
_LONGEST: Final = 107  # sun_path, without the zero at its end


class Door:
    """Listens at `path`, which whoever may ask can open; a stale socket there is replaced.

    Args:
        reply: the answer to a packet.
        can_enter: whether the agent can enter a network namespace, by its number.

    Raises:
        ConfigError: NET_AGENT, it can't be listened at.
    """

    def __init__(self, path: Path, reply: Reply, can_enter: Callable[[int], bool]) -> None:
        self._reply = reply
        self._can_enter = can_enter
        self._path = path
        self._askers: dict[socket.socket, Asker] = {}
        self._lines: Counter[int] = Counter()
        self._selector = selectors.DefaultSelector()
        self._door = _listen(path)
        self._inode = path.stat().st_ino
        self._selector.register(self._door, selectors.EVENT_READ)

    def turn(self, timeout_s: float) -> None:
        """Answer what has come; wait for the first of it, for so long at the most."""
        ready = {key.fileobj for key, _ in self._selector.select(timeout_s)}
        # First those who have left: their places are free for whoever comes after them.
        for line in self._askers.keys() & ready:
            self._hear(line)
        if self._door in ready:
            self._let_in()

    def close(self) -> None:
        """Leave all who are there, and the path."""
        for line in list(self._askers):
            self._leave(line)
        self._selector.close()
        self._door.close()
        with suppress(OSError):
            if self._path.stat().st_ino == self._inode:  # and no other agent's since
                self._path.unlink()

    def _let_in(self) -> None:
        try:
            line, _ = self._door.accept()
        except OSError as error:  # it has gone again, or there are no descriptors
            log.warning("nobody is let in: %s", error.strerror)
            return
        line.setblocking(False)
        uid = _uid(line)
        if len(self._askers) >= MOST_LINES or self._lines[uid] >= MOST_LINES_A_USER:
            log.warning("the user %d has too many connections", uid)
            line.close()
            return
        namespace = _namespace(line)
        known = namespace if namespace and self._can_enter(namespace) else 0
        self._askers[line] = Asker(uid, known)
        self._lines[uid] += 1
        self._selector.register(line, selectors.EVENT_READ)

    def _hear(self, line: socket.socket) -> None:
        try:
            # With MSG_TRUNC the size is the packet's, though no more is read than fits.
            packet, _, flags, _ = line.recvmsg(MAX_PACKET_BYTES + 1)
        except BlockingIOError:
            return
        except OSError:
            self._leave(line)
            return
        if not packet:
            self._leave(line)
            return
        if flags & socket.MSG_TRUNC or len(packet) > MAX_PACKET_BYTES:
            answer = too_large(len(packet))
        else:
            answer = self._reply(self._askers[line], packet)
        try:
            line.send(answer)
        except OSError:  # it has gone, or doesn't read
            self._leave(line)

    def _leave(self, line: socket.socket) -> None:
        asker = self._askers.pop(line)
        self._lines[asker.uid] -= 1
        if not self._lines[asker.uid]:
            del self._lines[asker.uid]
        self._selector.unregister(line)
        line.close()


def _listen(path: Path) -> socket.socket:
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        if path.is_socket():
            _check_left(path)
            path.unlink()
        door.bind(os.fspath(path))
        # Anybody may ask what this host can do; for the rest the agent knows who asks.
        path.chmod(0o666)
        door.listen(_LISTEN)
        door.setblocking(False)
    except ConfigError:
        door.close()
        raise
    except OSError as error:
        door.close()
        why = error.strerror or str(error)
        text, hint = f"{path} can't be listened at: {why}", _hint(path, error)
        raise ConfigError("NET_AGENT", text, hint=hint) from None
    return door


def _check_left(path: Path) -> None:
    """Raise NET_AGENT if somebody is behind a socket: the lock is of a state directory alone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.setblocking(False)
        try:
            line.connect(os.fspath(path))
        except ConnectionRefusedError:
            return
        except OSError:  # it is of another kind, or its queue is full
            pass
    text = f"another program answers at {path} already"
    raise ConfigError("NET_AGENT", text, hint="end that network agent, or give this one a --socket")


def _hint(path: Path, error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            return f"make its folder: mkdir -m 755 {path.parent}"
        case errno.EACCES | errno.EROFS:
            return (
                f"its folder must be the agent's own to write: --socket, or {path.parent}'s owner"
            )
        case None:  # Python's own no
            return f"{_LONGEST} bytes are the most (unix(7)): a shorter --socket"
    return ""


def _uid(line: socket.socket) -> int:
    told = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(told)[1]
    return uid


def _namespace(line: socket.socket) -> int:
    """The network namespace in which the asker made its socket; 0 without CAP_NET_ADMIN.

    An accepted unix socket belongs to the asker's (unix_stream_connect, net/unix/af_unix.c), which
    neither a process's end nor its number's next bearer changes.
    """
    try:
        fd = fcntl.ioctl(line, _SIOCGSKNS)
    except OSError:
        return 0
    try:
        return os.fstat(fd).st_ino
    finally:
        os.close(fd)
