"""The driver of simulated FPGA boards: a region is a share, and a role is what runs there.

In the listener it has the boards: it describes them, reserves regions, loads images and opens
user functions. In a worker it has none, only the sockets that the worker was given, whose
descriptors stand in the reservation's words.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from eais.device_type import WHOLE_MILLI, DeviceKind
from eais.errors import EaisError, Unavailable, UsageError, make_error
from eais.rpc.v1 import fpga_pb2
from eais_server.devices.driver import (
    DeviceInfo,
    DeviceStats,
    Enforcement,
    ModelSource,
    Reservation,
    Runtime,
    RuntimeSession,
    SessionSettings,
)
from eais_server.devices.fpga import framing
from eais_server.devices.fpga.boards import SimulatedBoard
from eais_server.devices.fpga.client import UserFunction
from eais_server.devices.fpga.image import ONNX, model_digest
from eais_server.devices.fpga.images import ImageFolder
from eais_server.devices.hosted import ModelLoad

if TYPE_CHECKING:
    from eais_server.devices.driver import DeviceDriver
    from eais_server.devices.fpga.session import RegionChannel
    from eais_server.devices.hosted import HostedDevice, ModelFiles

ROLE: Final = Runtime("role")
"""What runs on a board: the role that computes the model."""

REGIONS: Final = "regions"
"""The word that says which regions a share has: "0" or "0,1"."""

USER_FDS: Final = "user_fds"
"""The word that says where their user functions are, in the worker: "7" or "7,8"."""


class FpgaDriver:
    """Simulated boards of this host, or in a worker the regions that it was given.

    Args:
        boards: none in a worker.
        images: that may be loaded; None: there are none.
        run_timeout_s: after which a run that isn't over makes its region lost; None: the
            default.
        sleep: until a region is ready, in a worker.
    """

    def __init__(
        self,
        boards: Sequence[SimulatedBoard] = (),
        *,
        images: ImageFolder | None = None,
        run_timeout_s: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._boards = {board.spec.device: board for board in boards}
        self._images = images
        self._run_timeout_s, self._sleep = run_timeout_s, sleep
        self._last = {device: DeviceStats(device, 0, 0) for device in self._boards}
        self._channels: dict[str, tuple[RegionChannel, ...]] = {}
        self._taking_over = threading.Lock()

    def fingerprint(self) -> list[DeviceInfo]:
        """Each board, whose regions are equal parts of it."""
        return [
            DeviceInfo(
                id=board.spec.device,
                kind=DeviceKind.FPGA,
                model=f"simulated board, shell {board.spec.shell}",
                memory_bytes=board.spec.memory_mib << 20,
                capacity_milli=WHOLE_MILLI,
                granularity_milli=WHOLE_MILLI // board.spec.regions,
                share_limit_milli=WHOLE_MILLI,
                enforcement=Enforcement.FORCED,
                simulated=True,
                runtimes=(ROLE,),
            )
            for board in self._boards.values()
        ]

    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        """Whole regions, the first that are free; see `DeviceDriver`. DEVICE_LOST."""
        board = self._board(device)
        if board.has_ended():
            raise make_error("DEVICE_LOST", f"the board {device} is gone")
        spec = board.spec
        step = WHOLE_MILLI // spec.regions
        if milli <= 0 or milli % step:
            raise UsageError("ARGUMENT", f"a share of {device} is whole regions of {step} milli")
        taken = {number for r in held if r.device == device for number in regions_of(r)}
        free = [number for number in range(spec.regions) if number not in taken]
        wanted = milli // step
        if wanted > len(free):
            raise Unavailable("NO_DEVICE", f"{wanted} regions asked for, {len(free)} are free")
        words = {REGIONS: ",".join(map(str, free[:wanted]))}
        memory = (spec.memory_mib << 20) * wanted // spec.regions
        return Reservation(device, milli, wanted, memory_bytes=memory, words=words)

    def open(
        self,
        share: Reservation,
        model: ModelSource,
        settings: SessionSettings,
        runtime: Runtime = ROLE,
    ) -> RuntimeSession:
        """A session of the role that computes `model`; waits while it is loading.

        Raises:
            ModelRejected: IMAGE_MISSING, no region of the share holds such a role;
                OPTION_REFUSED.
            DeviceLost: DEVICE_LOST, a region is faulted or its board is gone.
        """
        from eais_server.devices.fpga.session import FpgaSession, signature_of
        from eais_server.runtime.options import session_options

        if runtime != ROLE:
            raise UsageError("ARGUMENT", f"an FPGA's driver has no runtime {runtime}")
        session_options(settings, share.threads)
        computes = _digest_of(model)
        states = [(channel, self._settled(channel, computes)) for channel in self._of(share)]
        found = [(c, s.image) for c, s in states if s.computes == computes and _is_ready(s)]
        if not found:
            raise _refusal([state for _, state in states])
        return FpgaSession(found, signature_of(found[0][0].function.describe()))

    def stats(self) -> list[DeviceStats]:
        """Since each board began; of one that is gone, what it said last."""
        return [self._stats(device) for device in self._boards]

    def health(self, device: str) -> str:
        """What is wrong with a board, "" for nothing: it is gone, or a region is faulted."""
        try:
            state = self._board(device).management.state()
        except EaisError as error:
            return error.message
        return "; ".join(
            f"region {number}: {region.fault}"
            for number, region in enumerate(state.regions)
            if region.state == "FAULTED"
        )

    @property
    def lines(self) -> int:
        """See `HostedDevice`: one for each region of the largest board."""
        return max((board.spec.regions for board in self._boards.values()), default=0)

    def told(self, share: Reservation, descriptors: Sequence[int]) -> Reservation:
        """See `HostedDevice`."""
        return with_user_functions(share, descriptors[: len(regions_of(share))])

    def image_of(self, files: ModelFiles) -> bytes:
        """See `HostedDevice`."""
        computes = model_digest(files[0][1], files[1:])
        image = self._images.find(computes, ONNX) if self._images else None
        if image is None:
            raise make_error("IMAGE_MISSING", "no role image for this model on this host")
        return image

    def loads(self, device: str) -> tuple[ModelLoad, ...]:
        """See `HostedDevice`: a share would have the first regions that nobody has."""
        board = self._board(device)
        step = WHOLE_MILLI // board.spec.regions
        free = [region for region in board.management.state().regions if not region.share]
        found = dict[str, ModelLoad]()
        for _, header in self._images.headers() if self._images else ():
            if header.format == ONNX:
                milli = step * _ready(free, header.computes)
                load = ModelLoad(header.computes.hex(), header.load_ms / 1000, milli)
                found.setdefault(load.model, load)
        return tuple(found.values())

    def provide(self, share: Reservation, image: bytes) -> float:
        """Have an image loaded into all regions of a share that lack it (the listener).

        Returns:
            Seconds until the last of them is ready.

        Raises:
            EaisError: an IMAGE_… reason, WRONG_STATE, BUSY; DEVICE_LOST, of a faulted region too.
        """
        management = self._board(share.device).management
        digest = hashlib.sha256(image).digest()
        states = management.state().regions
        waits = [0]
        for number in regions_of(share):
            state = states[number]
            if state.state == "FAULTED":
                raise _refusal([state])
            if state.image != digest or state.state == "EMPTY":
                state = management.load(number, image)
            waits.append(state.ready_in_ms)
        return max(waits) / 1000

    def attach(self, share: Reservation, name: str, ends: Sequence[socket.socket]) -> None:
        """Have the user functions of a share's regions served (the listener).

        Args:
            share: as `reserve` made it.
            name: whose it is, such as instance and worker.
            ends: the boards' ends of `framing.make_pair`, at least one a region; they stay the
                caller's, and the others are the worker's.

        Raises:
            EaisError: as `Management.open_user`; then none is open.
        """
        management = self._board(share.device).management
        opened: list[int] = []
        try:
            for number, end in zip(regions_of(share), ends, strict=False):
                management.open_user(number, name, end)
                opened.append(number)
        except BaseException:
            for number in opened:
                management.close_user(number)
            raise

    def connect(self, share: Reservation, name: str) -> list[socket.socket]:
        """As `attach`, over pairs made here: the worker's ends of them, one a region."""
        pairs = [framing.make_pair() for _ in regions_of(share)]
        try:
            self.attach(share, name, [far for _, far in pairs])
        except BaseException:
            for near, _ in pairs:
                near.close()
            raise
        finally:
            for _, far in pairs:
                far.close()
        return [near for near, _ in pairs]

    def is_alive(self, device: str) -> bool:
        """See `HostedDevice`."""
        return not self._board(device).has_ended()

    def revive(self, device: str) -> None:
        """See `HostedDevice`: its regions are empty."""
        self._board(device).restart()

    def ask_health(self, device: str) -> None:
        """See `HostedDevice`. A region that is faulted is reset when its share ends."""
        self._board(device).management.state()

    def release(self, share: Reservation) -> None:
        """The share ended (the listener): what it has on its regions is zeroed.

        What still runs there, or is faulted, is reset.
        """
        management = self._board(share.device).management
        for number in regions_of(share):
            if management.close_user(number).state in ("RUNNING", "FAULTED"):
                management.reset(number)

    def close(self) -> None:
        """Close the sockets that this process took over (the worker); boards aren't touched."""
        for channels in self._channels.values():
            for channel in channels:
                channel.function.close()
        self._channels.clear()

    def _board(self, device: str) -> SimulatedBoard:
        try:
            return self._boards[device]
        except KeyError:
            raise UsageError("NOT_FOUND", "no such device") from None

    def _stats(self, device: str) -> DeviceStats:
        try:
            state = self._boards[device].management.state()
        except EaisError:
            return self._last[device]
        found = DeviceStats(device, state.busy_us * 1000, state.memory_used_bytes)
        self._last[device] = found
        return found

    def _of(self, share: Reservation) -> tuple[RegionChannel, ...]:
        """The share's regions, over the sockets that this process was given once."""
        from eais_server.devices.fpga.session import RUN_TIMEOUT_S, RegionChannel

        fds = share.words.get(USER_FDS, "")
        if not fds:
            raise make_error("DEVICE_LOST", "this worker was given no user function of a board")
        timeout_s = RUN_TIMEOUT_S if self._run_timeout_s is None else self._run_timeout_s
        with self._taking_over:
            if fds not in self._channels:
                made = (RegionChannel(UserFunction(sock), timeout_s) for sock in _sockets(fds))
                self._channels[fds] = tuple(made)
            return self._channels[fds]

    def _settled(self, channel: RegionChannel, computes: bytes) -> fpga_pb2.RegionState:
        """A region's state, once the role that computes this isn't LOADING there any more."""
        channel.check()
        state = channel.function.status()
        while state.state == "LOADING" and state.computes == computes:
            self._sleep(state.ready_in_ms / 1000)
            state = channel.function.status()
        return state


def regions_of(share: Reservation) -> tuple[int, ...]:
    """Which regions a share has."""
    return tuple(int(number) for number in share.words[REGIONS].split(","))


def with_user_functions(share: Reservation, fds: Sequence[int]) -> Reservation:
    """The reservation for a worker, in which the user functions have these descriptors."""
    words: Mapping[str, str] = {**share.words, USER_FDS: ",".join(map(str, fds))}
    return replace(share, words=words)


def _sockets(fds: str) -> list[socket.socket]:
    try:
        return [socket.socket(fileno=int(fd)) for fd in fds.split(",")]
    except (OSError, ValueError) as error:
        raise make_error("DEVICE_LOST", f"no user function of a board: {error}") from None


def _ready(free: Sequence[fpga_pb2.RegionState], computes: bytes) -> int:
    """How many of the first regions that are free have a role that computes this."""
    return sum(1 for _ in takewhile(lambda region: region.computes == computes, free))


def _is_ready(state: fpga_pb2.RegionState) -> bool:
    return state.state in ("READY", "RUNNING")


def _refusal(states: Sequence[fpga_pb2.RegionState]) -> EaisError:
    broken = next((state for state in states if state.state == "FAULTED"), None)
    if broken is not None:
        return make_error("DEVICE_LOST", f"the region is faulted: {broken.fault}")
    return make_error("IMAGE_MISSING", "no role that computes this model is loaded")


def _digest_of(model: ModelSource) -> bytes:
    """What images say that compute it."""
    others = [(name, _sha256(model.path.parent / name)) for name in model.manifest]
    return model_digest(_sha256(model.path), others)


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


if TYPE_CHECKING:
    _checked: type[DeviceDriver] = FpgaDriver
    _hosted: type[HostedDevice] = FpgaDriver
