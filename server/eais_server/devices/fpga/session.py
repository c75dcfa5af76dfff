"""A session whose runs go through the user function of a share's regions: the worker's side."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

from eais.errors import EaisError, make_error
from eais.rpc.v1 import fpga_pb2, listener_pb2, value_pb2
from eais_server.devices.driver import (
    ModelInfo,
    RunSettings,
    SessionSignature,
    ValueSpec,
)
from eais_server.devices.fpga.client import UserFunction
from eais_server.devices.fpga.memory import SharedMemory
from eais_server.devices.fpga.packing import Packed, pack, unpack

PROVIDER: Final = "FpgaExecutionProvider"
RUN_TIMEOUT_S: Final = 60.0
# What only a region says that was reset or loaded anew beneath the share.
_TAKEN_AWAY: Final = frozenset({"NOT_FOUND", "WRONG_STATE", "IMAGE_MISSING"})
_SLICE_MS: Final = 50
_FIRST_BYTES: Final = 64 << 10


class _Side:
    """A buffer that grows: what is in it is lost then."""

    def __init__(self, function: UserFunction) -> None:
        self._function = function
        self._memory: SharedMemory | None = None
        self.number = 0
        self.size = 0

    def of(self, size: int) -> memoryview:
        """At least `size` bytes of it, as the host sees them."""
        if self._memory is None or self.size < size:
            self.size = max(_FIRST_BYTES, 1 << (size - 1).bit_length())
            if self._memory is not None:
                self._memory.close()
                self._memory = None
                self._function.free(self.number)
            self.number, self._memory = self._function.allocate(self.size)
        return self._memory.view


class RegionChannel:
    """A region of the share: one run at a time.

    Args:
        function: its user function.
        timeout_s: after which a run that isn't over never will be.
        clock: seconds.

    Attributes:
        lock: held by who runs something.
        lost: why the region is of no use any more; "": it is of use.
    """

    def __init__(
        self,
        function: UserFunction,
        timeout_s: float = RUN_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.function = function
        self.lock = threading.Lock()
        self.lost = ""
        self._timeout_s, self._clock = timeout_s, clock
        self._input, self._output = _Side(function), _Side(function)
        self._left_behind: int | None = None

    def run(
        self, image: bytes, packed: Packed, outputs: Sequence[str], ended: threading.Event
    ) -> list[Any]:
        """The role's results. The caller has `lock`.

        Args:
            image: the digest of the image that is meant.
            packed: the inputs.
            outputs: those wanted; none: all.
            ended: set when nobody wants them any more.

        Raises:
            DeviceLost: DEVICE_LOST, now and from now on.
            EaisError: as `PreparedRun.execute`.
        """
        self.check()
        try:
            self._finish_left_behind()
            packed.put(self._input.of(packed.size))
            self._output.of(1)
            self.function.write(self._input.number, 0, packed.size)
            done = self._done(image, packed, outputs, ended)
            return self._results(done)
        except EaisError as error:
            if error.reason in _TAKEN_AWAY:
                error = make_error("DEVICE_LOST", f"the region was taken away: {error.message}")
            if error.reason == "DEVICE_LOST":
                self.lost = error.message
            raise error from None

    def check(self) -> None:
        """Raise DEVICE_LOST if the region is of no use."""
        if self.lost:
            raise make_error("DEVICE_LOST", self.lost)

    def _done(
        self, image: bytes, packed: Packed, outputs: Sequence[str], ended: threading.Event
    ) -> fpga_pb2.Done:
        given = (self._input.number, packed.values_bytes, packed.size)
        while True:
            run = self.function.start(image, given, self._output.number, outputs)
            try:
                return self._waited(run, ended)
            except EaisError as error:
                need = int(error.metadata.get("need", 0))
                if error.reason != "OUTPUT_TOO_LARGE" or need <= self._output.size:
                    raise
                self._output.of(need)

    def _waited(self, run: int, ended: threading.Event) -> fpga_pb2.Done:
        until = self._clock() + self._timeout_s
        while True:
            done = self.function.wait(run, _SLICE_MS)
            if not done.running:
                return done
            if ended.is_set():
                self._left_behind = run
                raise make_error("RUN_FAILED", "the run was ended before it was over")
            if self._clock() >= until:
                raise make_error("DEVICE_LOST", f"a run isn't over after {self._timeout_s:g} s")

    def _finish_left_behind(self) -> None:
        """A region can't be stopped: what was left running must be over first."""
        run, self._left_behind = self._left_behind, None
        if run is None:
            return
        try:
            self._waited(run, threading.Event())
        except EaisError as error:
            if error.reason == "DEVICE_LOST":
                raise

    def _results(self, done: fpga_pb2.Done) -> list[Any]:
        self.function.read(self._output.number, 0, done.output_bytes)
        view = self._output.of(done.output_bytes)[: done.output_bytes]
        if zlib.crc32(view) != done.crc32:
            raise make_error("DEVICE_LOST", "the output isn't what the role computed (checksum)")
        return [value for _, value in unpack(view, done.values_bytes, bytearray)]


class FpgaSession:
    """A role as a `RuntimeSession`. Any thread may prepare and run.

    Args:
        channels: the regions that hold the role, and the digest of the image in each.
        signature: what the role takes and gives.
    """

    def __init__(
        self, channels: Sequence[tuple[RegionChannel, bytes]], signature: SessionSignature
    ) -> None:
        self._channels = tuple(channels)
        self._signature = signature
        self._turn = count()

    @property
    def signature(self) -> SessionSignature:
        """See `RuntimeSession`."""
        return self._signature

    def prepare(self, settings: RunSettings) -> FpgaRun:
        """See `RuntimeSession`; a role has no options of a run."""
        return FpgaRun(self)

    def run(
        self, outputs: Sequence[str], feed: Mapping[str, Any], ended: threading.Event
    ) -> list[Any]:
        """On one of the regions that aren't lost; as `PreparedRun.execute`."""
        packed = pack(feed.items())
        while True:
            with self._free_channel() as (channel, image):
                try:
                    return channel.run(image, packed, outputs, ended)
                except EaisError as error:
                    if error.reason != "DEVICE_LOST" or all(c.lost for c, _ in self._channels):
                        raise

    @contextmanager
    def _free_channel(self) -> Iterator[tuple[RegionChannel, bytes]]:
        """One that nobody uses, else the next in turn."""
        usable = [found for found in self._channels if not found[0].lost] or self._channels
        found = next((f for f in usable if f[0].lock.acquire(blocking=False)), None)
        if found is None:
            found = usable[next(self._turn) % len(usable)]
            found[0].lock.acquire()
        try:
            yield found
        finally:
            found[0].lock.release()


class FpgaRun:
    """One run of an `FpgaSession`, as a `PreparedRun`."""

    def __init__(self, session: FpgaSession) -> None:
        self._session = session
        self._ended = threading.Event()

    def execute(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        """See `PreparedRun`."""
        return self._session.run(outputs, feed, self._ended)

    def terminate(self) -> None:
        """See `PreparedRun`: the caller waits no more; the region goes on to the run's end."""
        self._ended.set()

    @property
    def terminated(self) -> bool:
        """See `PreparedRun`."""
        return self._ended.is_set()


def signature_of(message: listener_pb2.Signature) -> SessionSignature:
    """What a board says of its role."""
    model = message.metadata
    return SessionSignature(
        inputs=tuple(map(_spec, message.inputs)),
        outputs=tuple(map(_spec, message.outputs)),
        overridable_initializers=tuple(map(_spec, message.overridable_initializers)),
        model=ModelInfo(
            producer_name=model.producer_name,
            graph_name=model.graph_name,
            domain=model.domain,
            description=model.description,
            graph_description=model.graph_description,
            version=model.version,
            custom_metadata=dict(model.custom_metadata),
        ),
        providers=(PROVIDER,),
    )


def _spec(info: value_pb2.ValueInfo) -> ValueSpec:
    return ValueSpec(info.name, info.type, tuple(map(_dim, info.dims)))


def _dim(dim: value_pb2.Dimension) -> int | str | None:
    match dim.WhichOneof("kind"):
        case "size":
            return dim.size
        case "symbol":
            return dim.symbol
        case _:
            return None
