"""The far ends of a board's two functions: the listener's, and a worker's.

Every call blocks. When the board is gone, or doesn't answer in time, it is DEVICE_LOST.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from google.protobuf.message import DecodeError

from eais.errors import EaisError, make_error
from eais.rpc.v1 import fpga_pb2, listener_pb2
from eais_server.devices.fpga import framing
from eais_server.devices.fpga.memory import SharedMemory, image_memfd
from eais_server.devices.fpga.state import error_of

START_TIMEOUT_S: Final = 60.0
"""Of a request: a board that was just started loads its runtime first."""

Q = TypeVar("Q", fpga_pb2.ManagementRequest, fpga_pb2.UserRequest)
A = TypeVar("A", fpga_pb2.ManagementReply, fpga_pb2.UserReply)


class _Function(Generic[Q, A]):
    """One request at a time on a socket, from any thread."""

    def __init__(self, sock: socket.socket, reply: type[A], timeout_s: float) -> None:
        self._socket = sock
        self._reply: type[A] = reply
        self._lock = threading.Lock()
        self._timeout_s = timeout_s

    def ask(self, request: Q, fd: int | None = None, wait_s: float = 0.0) -> tuple[A, int | None]:
        """The reply, and the descriptor that came with it.

        Args:
            request: what is asked.
            fd: goes along; it stays the caller's.
            wait_s: how much longer than usual the board may take.

        Raises:
            DeviceLost: DEVICE_LOST.
            EaisError: what the board refuses it with.
        """
        with self._lock:
            try:
                self._socket.settimeout(self._timeout_s + wait_s)
                framing.send(self._socket, request, fd)
                data, got = framing.receive(self._socket)
            except (framing.PacketBroken, OSError) as error:
                # What it answers later would be taken for the answer to something else.
                self._socket.close()
                raise _lost(f"the board doesn't answer: {error}") from None
        try:
            if not data:
                raise _lost("the board is gone")
            return self._parsed(data), got
        except EaisError:
            if got is not None:
                os.close(got)
            raise

    def _parsed(self, data: bytes) -> A:
        try:
            reply: A = self._reply.FromString(data)
        except DecodeError:
            raise _lost("the board answers no protobuf") from None
        if reply.HasField("error"):
            raise error_of(reply.error)
        return reply

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Management:
    """The listener's end of a board's management function.

    Args:
        sock: connected; owned from now on.
        timeout_s: of each request.
    """

    def __init__(self, sock: socket.socket, timeout_s: float = START_TIMEOUT_S) -> None:
        self._function: _Function[fpga_pb2.ManagementRequest, fpga_pb2.ManagementReply] = _Function(
            sock, fpga_pb2.ManagementReply, timeout_s
        )

    def load(self, region: int, image: bytes) -> fpga_pb2.RegionState:
        """Have the file of an image loaded; as it is once its loading has begun.

        Raises:
            EaisError: an IMAGE_… reason, NOT_FOUND, WRONG_STATE, or BUSY while it runs.
        """
        fd = image_memfd(image)
        try:
            asked = fpga_pb2.LoadImage(region=region)
            return self._region(fpga_pb2.ManagementRequest(load=asked), fd)
        finally:
            os.close(fd)

    def state(self) -> fpga_pb2.BoardState:
        """All of the board."""
        asked = fpga_pb2.ManagementRequest(read_state=fpga_pb2.ReadState())
        return self._function.ask(asked)[0].board

    def reset(self, region: int) -> fpga_pb2.RegionState:
        """Empty a region, whatever it does."""
        asked = fpga_pb2.ResetRegion(region=region)
        return self._region(fpga_pb2.ManagementRequest(reset=asked))

    def open_user(self, region: int, share: str, end: socket.socket) -> fpga_pb2.RegionState:
        """Have the region's user function served for a share.

        Args:
            region: which nobody has.
            share: a name that says whose it is.
            end: the board's end of a pair whose other one the worker has; it stays the caller's.

        Raises:
            EaisError: NOT_FOUND, NAME, WRONG_STATE for a region that is another's, or BUSY while
                it still runs for one.
        """
        asked = fpga_pb2.OpenUser(region=region, share=share)
        return self._region(fpga_pb2.ManagementRequest(open_user=asked), end.fileno())

    def close_user(self, region: int) -> fpga_pb2.RegionState:
        """End the share of a region; what it had there is zeroed."""
        asked = fpga_pb2.CloseUser(region=region)
        return self._region(fpga_pb2.ManagementRequest(close_user=asked))

    def inject(self, region: int, fault: fpga_pb2.Fault) -> None:
        """Break something, on a simulated board.

        Raises:
            DeviceLost: DEVICE_LOST, when it was to vanish.
        """
        asked = fpga_pb2.Inject(region=region, fault=fault)
        self._region(fpga_pb2.ManagementRequest(inject=asked))

    def _region(
        self, request: fpga_pb2.ManagementRequest, fd: int | None = None
    ) -> fpga_pb2.RegionState:
        return self._function.ask(request, fd)[0].region

    def close(self) -> None:
        """Close the socket, upon which the board ends."""
        self._function.close()


class UserFunction:
    """A worker's end of the user function of its region.

    Args:
        sock: connected; owned from now on.
        timeout_s: of each request, beside what a wait is to take.
    """

    def __init__(self, sock: socket.socket, timeout_s: float = START_TIMEOUT_S) -> None:
        self._function: _Function[fpga_pb2.UserRequest, fpga_pb2.UserReply] = _Function(
            sock, fpga_pb2.UserReply, timeout_s
        )

    def describe(self) -> listener_pb2.Signature:
        """What the role takes and gives. DEVICE_LOST or WRONG_STATE if none is ready."""
        asked = fpga_pb2.UserRequest(describe=fpga_pb2.Describe())
        return self._function.ask(asked)[0].signature

    def allocate(self, size: int) -> tuple[int, SharedMemory]:
        """A new buffer: its number, and the host's side of it. ARGUMENT, QUOTA."""
        asked = fpga_pb2.UserRequest(allocate=fpga_pb2.Allocate(bytes=size))
        reply, fd = self._function.ask(asked)
        if fd is None:
            raise _lost("the board gave no buffer")
        return reply.number, SharedMemory.take(fd, size)

    def free(self, buffer: int) -> None:
        """Give a buffer back. NOT_FOUND; WRONG_STATE while the region runs."""
        self._function.ask(fpga_pb2.UserRequest(free=fpga_pb2.Free(buffer=buffer)))

    def write(self, buffer: int, offset: int, size: int) -> None:
        """Copy a part of a buffer to the device.

        Raises:
            EaisError: NOT_FOUND, ARGUMENT, WRONG_STATE while it runs, DEVICE_LOST.
        """
        asked = fpga_pb2.Write(buffer=buffer, offset=offset, bytes=size)
        self._function.ask(fpga_pb2.UserRequest(write=asked))

    def read(self, buffer: int, offset: int, size: int) -> None:
        """Copy a part of a buffer from the device; raises as `write`."""
        asked = fpga_pb2.Read(buffer=buffer, offset=offset, bytes=size)
        self._function.ask(fpga_pb2.UserRequest(read=asked))

    def start(
        self,
        image: bytes,
        given: tuple[int, int, int],
        output: int,
        outputs: Sequence[str] = (),
    ) -> int:
        """Ring the doorbell; the run's number.

        Args:
            image: the digest of the one that is meant.
            given: the buffer with the input, its values' bytes, all its bytes.
            output: the buffer for the output.
            outputs: names of those that are wanted; none: all.

        Raises:
            EaisError: IMAGE_MISSING, NOT_FOUND, ARGUMENT, WRONG_STATE, DEVICE_LOST, or what is
                wrong with the input.
        """
        asked = fpga_pb2.Start(
            image=image,
            input=given[0],
            values_bytes=given[1],
            input_bytes=given[2],
            output=output,
            outputs=outputs,
        )
        return self._function.ask(fpga_pb2.UserRequest(start=asked))[0].number

    def wait(self, run: int, timeout_ms: int) -> fpga_pb2.Done:
        """Wait for a run to be over; `running` is set if it isn't.

        Raises:
            EaisError: why it failed; NOT_FOUND.
        """
        asked = fpga_pb2.UserRequest(wait=fpga_pb2.Wait(run=run, timeout_ms=timeout_ms))
        return self._function.ask(asked, wait_s=timeout_ms / 1000)[0].done

    def status(self) -> fpga_pb2.RegionState:
        """The region, as its share sees it."""
        asked = fpga_pb2.UserRequest(status=fpga_pb2.Status())
        return self._function.ask(asked)[0].status

    def close(self) -> None:
        """Close the socket: the board takes the buffers back."""
        self._function.close()


def _lost(why: str) -> EaisError:
    return make_error("DEVICE_LOST", why)
