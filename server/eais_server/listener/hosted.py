"""Shares that a process of this host serves: each worker's lines are handed on to it.

A share is attached before the first load of the worker that has it, and released when that has
exited. Each device has a thread of its own for this: one that doesn't answer holds up nothing but
the loads of those who have it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from eais.errors import EaisError, make_error
from eais.rpc.v1 import listener_pb2, supervision_pb2
from eais_server.devices.driver import Reservation
from eais_server.devices.hosted import HostedDevice, ModelFiles, ModelLoad
from eais_server.listener import messages
from eais_server.listener.inventory import Inventory
from eais_server.process import Line, WorkerProcess
from eais_server.supervision import State

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Seat:
    """What a worker has. `attached` is the device's thread's, and so are the lines."""

    driver: HostedDevice
    share: Reservation
    instance: str
    n: int
    lines: tuple[Line, ...]
    attached: bool = False


class HostedShares:
    """The shares of one listener's workers that are served by such processes.

    Args:
        inventory: what is reserved, and whose drivers those are.
        state: the supervision's, to be read.
    """

    def __init__(self, inventory: Inventory, state: State) -> None:
        self._inventory: Final = inventory
        self._state: Final = state
        self._seats: dict[int, _Seat] = {}
        self._threads: dict[str, ThreadPoolExecutor] = {}

    def tell(
        self,
        message: supervision_pb2.Adopt | supervision_pb2.Measure,
        process: WorkerProcess,
        name: str,
        n: int,
    ) -> None:
        """Put into what a worker is told of its share which of its lines lead there.

        `name` and `n`: as it was reserved for.
        """
        driver = self._inventory.hosted(message.device) if process.lines else None
        if driver is None:
            return
        share = self._inventory.reservation(name, n)
        seat = _Seat(driver, share, name, n, process.lines)
        message.words.update(driver.told(share, [line.descriptor for line in seat.lines]).words)
        self._seats[process.k] = seat

    async def ready(self, worker: int, spec: listener_pb2.SessionSpec) -> None:
        """Before a load: have what the model needs on the worker's share, if that is hosted.

        Raises:
            EaisError: IMAGE_MISSING; QUOTA, another model runs there; DEVICE_LOST, or what
                speaks against it.
        """
        seat = self._seats.get(worker)
        if seat is not None:
            others = self._runs_another(worker, seat, messages.spec_bytes(spec))
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(
                self._thread(seat.share.device), _provide, seat, _files(spec), others
            )

    async def check_image(self, device: str, spec: listener_pb2.SessionSpec) -> None:
        """Whether a model could be loaded onto a device, if that is hosted. IMAGE_MISSING."""
        driver = self._inventory.hosted(device)
        if driver is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread(device), driver.image_of, _files(spec))

    async def loads(self, device: str) -> tuple[ModelLoad, ...]:
        """What can be loaded onto a device that is hosted. DEVICE_LOST."""
        driver = self._inventory.hosted(device)
        if driver is None:
            return ()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread(device), driver.loads, device)

    async def look_after(self, device: str) -> bool:
        """Find out whether the process that serves a device does; start one that has ended.

        Returns:
            Whether it was started, so that who had something of the old one has nothing.

        Raises:
            EaisError: DEVICE_LOST, PROCESS_FAILED.
        """
        driver = self._inventory.hosted(device)
        if driver is None:
            raise make_error("DEVICE_LOST", f"nothing serves {device}")
        anew = not driver.is_alive(device)
        if anew:
            driver.revive(device)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread(device), driver.ask_health, device)
        return anew

    def gone(self, process: WorkerProcess) -> None:
        """The worker has exited: nothing of it is left on its share, soon."""
        seat = self._seats.pop(process.k, None)
        if seat is None:
            _close(process.lines)
        else:
            self._thread(seat.share.device).submit(_release, seat)

    def close(self) -> None:
        """Begin nothing more."""
        for thread in self._threads.values():
            thread.shutdown(wait=False)

    def _runs_another(self, worker: int, seat: _Seat, spec: bytes) -> bool:
        held, known = self._state.leases.get(seat.instance), self._state.workers.get(worker)
        loaded = known.loaded if known else set[str]()
        kept = [held.sessions[name] for name in loaded if name in held.sessions] if held else []
        model = messages.model_digest(spec)
        return any(session.model != model for session in kept)

    def _thread(self, device: str) -> ThreadPoolExecutor:
        if device not in self._threads:
            self._threads[device] = ThreadPoolExecutor(1, thread_name_prefix=device)
        return self._threads[device]


def _files(spec: listener_pb2.SessionSpec) -> ModelFiles:
    return [(file.location, file.sha256) for file in spec.files]


def _provide(seat: _Seat, files: ModelFiles, others: bool) -> None:
    image = seat.driver.image_of(files)
    if others:
        text = f"{seat.share.device} runs another model for this instance; that is kept open yet"
        raise make_error("QUOTA", text, metadata={"limit": "1"})
    if not seat.attached:
        _attach(seat)
    wait_s = seat.driver.provide(seat.share, image)
    log.info("%s/%s: its image is ready in %.1f s", seat.instance, seat.n, wait_s)


def _attach(seat: _Seat) -> None:
    """Whoever had it before is gone; what they left running there is ended."""
    seat.driver.release(seat.share)
    ends = [line.far for line in seat.lines]
    seat.driver.attach(seat.share, f"{seat.instance}/{seat.n}", ends)
    seat.attached = True
    # The worker is to see it when the other side is gone, of which these would be a part.
    _close(seat.lines)


def _release(seat: _Seat) -> None:
    try:
        if seat.attached:
            seat.driver.release(seat.share)
    except EaisError as error:
        log.warning("%s can't be released: %s", seat.share.device, error)
    finally:
        _close(seat.lines)


def _close(lines: Iterable[Line]) -> None:
    for line in lines:
        line.far.close()
