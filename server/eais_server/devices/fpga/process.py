"""The loop of a simulated board: sockets, threads and the clock around the two functions."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import selectors
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from eais.errors import EaisError, make_error
from eais.rpc.v1 import fpga_pb2
from eais_server.devices.fpga import framing, management, user
from eais_server.devices.fpga.image import MAX_IMAGE_BYTES, Image
from eais_server.devices.fpga.memory import read_memfd
from eais_server.devices.fpga.state import (
    MANAGEMENT,
    Action,
    Attach,
    Board,
    Compute,
    Detach,
    Prepare,
    Reply,
    Result,
    Role,
    Slot,
    Vanish,
    error_message,
)

log = logging.getLogger(__name__)

VANISHED: Final = 70
"""The exit code of a board that was told to vanish."""

_NO_SOCKET: Final = Reply(
    MANAGEMENT,
    fpga_pb2.ManagementReply(
        error=error_message(
            make_error("MALFORMED_MESSAGE", "open_user: the descriptor is no such socket")
        )
    ),
)

ReadImage = Callable[[bytes], Image]
MakeRole = Callable[[Image], Role]


class BoardLoop:
    """Serves both functions of `board` on one thread until the management socket is closed.

    Args:
        board: what decides.
        control: the board's end of the management socket.
        read_image: checks an image's file.
        make_role: makes the role of one.
        clock: seconds.
    """

    def __init__(
        self,
        board: Board,
        control: socket.socket,
        read_image: ReadImage,
        make_role: MakeRole,
        clock: Callable[[], float],
    ) -> None:
        self._board = board
        self._read_image, self._make_role, self._clock = read_image, make_role, clock
        self._sockets = {MANAGEMENT: control}
        self._done: queue.SimpleQueue[Callable[[], list[Action]]] = queue.SimpleQueue()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._loader = ThreadPoolExecutor(1)
        self._regions = [ThreadPoolExecutor(1) for _ in board.slots]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._watch(MANAGEMENT)

    def run(self) -> None:
        """Serve."""
        while MANAGEMENT in self._sockets:
            for key, _ in self._selector.select(self._patience()):
                if key.data is None:
                    self._collect()
                elif key.data in self._sockets:
                    self._receive(key.data)
            now = self._clock()
            self._board.shell = self._board.shell.at(now)
            for slot in self._board.slots:
                self._do(user.at(self._board, slot, now))

    def _patience(self) -> float | None:
        times = [self._board.shell.next_change(), *map(user.next_change, self._board.slots)]
        known = [time for time in times if time is not None]
        return max(0.0, min(known) - self._clock()) if known else None

    def _watch(self, where: int) -> None:
        sock = self._sockets[where]
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, where)

    def _collect(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        with contextlib.suppress(queue.Empty):
            while True:
                self._do(self._done.get_nowait()())

    def _receive(self, where: int) -> None:
        try:
            data, fd = framing.receive(self._sockets[where])
        except BlockingIOError:
            return
        except (framing.PacketBroken, OSError) as error:
            log.warning("a socket of the board is closed: %s", error)
            data, fd = b"", None
        if not data:
            self._ended(where)
        elif where == MANAGEMENT:
            self._manage(data, fd)
        else:
            self._close_fd(fd)
            slot = self._board.slots[where]
            self._do(user.on_request(self._board, slot, data, self._clock()))

    def _manage(self, data: bytes, fd: int | None) -> None:
        actions = management.on_request(self._board, data, fd, self._clock())
        if not any(isinstance(action, Prepare | Attach) for action in actions):
            self._close_fd(fd)
        self._do(actions)

    def _close_fd(self, fd: int | None) -> None:
        if fd is not None:
            os.close(fd)

    def _ended(self, where: int) -> None:
        sock = self._sockets.pop(where)
        self._selector.unregister(sock)
        sock.close()
        if where != MANAGEMENT:
            management.user_gone(self._board, self._board.slots[where])

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Reply():
                    self._reply(action)
                case Prepare():
                    self._loader.submit(self._prepare, action)
                case Compute():
                    self._regions[action.region].submit(self._compute, action)
                case Attach() if not self._attach(action):
                    self._reply(_NO_SOCKET)
                    return
                case Detach() if action.region in self._sockets:
                    self._ended(action.region)
                case Vanish():
                    os._exit(VANISHED)

    def _attach(self, action: Attach) -> bool:
        """Serve a region's share there; whether it is such a socket."""
        try:
            sock = socket.socket(fileno=action.fd)
        except OSError:
            os.close(action.fd)
            sock = None
        if sock is None or (sock.family, sock.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
            if sock is not None:
                sock.close()
            management.user_gone(self._board, self._board.slots[action.region])
            return False
        self._sockets[action.region] = sock
        self._watch(action.region)
        return True

    def _reply(self, action: Reply) -> None:
        try:
            if action.to in self._sockets:
                framing.send(self._sockets[action.to], action.message, action.fd)
        except OSError:  # gone, or it asks without reading
            self._ended(action.to)
        finally:
            self._close_fd(action.fd)

    def _tell(self, what: Callable[[], list[Action]]) -> None:
        self._done.put(what)
        os.eventfd_write(self._bell, 1)

    def _prepare(self, action: Prepare) -> None:
        made: tuple[Image, Role] | EaisError
        try:
            image = self._read_image(read_memfd(action.fd, MAX_IMAGE_BYTES))
            made = image, self._make_role(image)
        except EaisError as error:
            made = error
        except (OSError, MemoryError) as error:
            made = make_error("IMAGE_INVALID", f"the role image can't be read: {error}")
        finally:
            os.close(action.fd)
        found = made
        self._tell(lambda: management.prepared(self._board, action.region, found, self._clock()))

    def _compute(self, action: Compute) -> None:
        result: Result
        try:
            result = action.role.run(action.feed, action.outputs)
        except EaisError as error:
            result = error
        slot: Slot = self._board.slots[action.region]
        self._tell(lambda: user.computed(self._board, slot, action.ticket, result, self._clock()))
