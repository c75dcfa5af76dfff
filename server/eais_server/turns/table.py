"""The listener's shared devices and their sharers: what the brain is told, and what it asks for.

No thread or loop of its own; see `eais_server.turns.keeper`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from eais_server.turns.brain import ALWAYS, Device, Limits, Stage, next_look, on_event
from eais_server.turns.brain import actions as do
from eais_server.turns.brain import events as on
from eais_server.turns.meter import Meter
from eais_server.turns.page import Seat

Send = Callable[[int, int], None]
"""Sends a signal to a process by its pidfd."""

Told = Callable[[do.Action], None]
"""Told of what is withheld, stopped, resumed and killed, before it is."""

_SIGNALS: Final[dict[type[do.Action], int]] = {
    do.Stop: signal.SIGSTOP,
    do.Resume: signal.SIGCONT,
    do.Kill: signal.SIGKILL,
}


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that shares a device.

    Attributes:
        id: the listener's number of the process.
        weight: of its share, in milli-devices.
        seat: what it inherited; the table's from now on.
        pidfd: the table's own.
        meter: what it used of the device.
    """

    id: int
    device: str
    weight: int
    seat: Seat
    pidfd: int
    meter: Meter


class Table:
    """Not for two threads at once.

    Args:
        clock: monotonic nanoseconds, as the workers'.
    """

    def __init__(
        self,
        told: Told,
        *,
        send: Send = signal.pidfd_send_signal,
        clock: Callable[[], int] = time.monotonic_ns,
        limits: Limits | None = None,
    ) -> None:
        self._told = told
        self._send = send
        self._clock = clock
        self._limits = limits or Limits()
        self._devices: dict[str, Device] = {}
        self._due: dict[str, int] = {}
        self._workers: dict[int, Worker] = {}

    @property
    def due_ns(self) -> int | None:
        """When somebody is to be looked at, though nobody rings; None: nobody."""
        return min(self._due.values(), default=None)

    def join(self, worker: Worker) -> None:
        """The worker takes part in its device's turns."""
        device = self._devices.setdefault(worker.device, Device(self._limits))
        self._look(worker.device)
        self._workers[worker.id] = worker
        used_ns = worker.meter()
        if used_ns is None:
            worker.seat.ask_to_tell()
        self._tell(worker.device, device, on.Joined(worker.id, worker.weight, used_ns))

    def leave(self, number: int) -> Worker | None:
        """It has exited, or gave up its share; the seat is closed. None: it wasn't here."""
        worker = self._workers.get(number)
        if worker is None:
            return None
        self._look(worker.device)
        del self._workers[number]
        device = self._devices[worker.device]
        self._tell(worker.device, device, on.Left(number))
        if not device.sharers:
            del self._devices[worker.device]
            self._due.pop(worker.device, None)
        self._dismiss(worker)
        return worker

    def excuse(self, number: int, *, excused: bool) -> None:
        """The worker does what has no turns, or does so no more."""
        worker = self._workers.get(number)
        if worker is not None:
            # What it used until now is judged by what it did until now.
            self._look(worker.device)
            device = self._devices[worker.device]
            self._tell(worker.device, device, on.Excused(number, excused))

    def rang(self, number: int) -> None:
        """The worker has rung."""
        worker = self._workers.get(number)
        if worker is not None:
            worker.seat.heard()
            self._look(worker.device)

    def look_around(self) -> None:
        """Look at each device for which it is time."""
        now = self._clock()
        for name in [name for name, due in self._due.items() if due <= now]:
            self._look(name)

    def close(self) -> None:
        """Let all run free, those that are stopped, too."""
        for device in self._devices.values():
            stopped = [s.id for s in device.sharers.values() if s.stage is Stage.STOPPED]
            for number in stopped:
                self._obey(do.Resume(number))
        for worker in self._workers.values():
            worker.seat.allow(0, ALWAYS)
            self._dismiss(worker)
        self._workers.clear()
        self._devices.clear()
        self._due.clear()

    def _dismiss(self, worker: Worker) -> None:
        worker.seat.close()
        os.close(worker.pidfd)

    def _look(self, name: str) -> None:
        device = self._devices[name]
        seen = {}
        for number in device.sharers:
            worker = self._workers[number]
            # What it says first: what it used by then is to be seen.
            claims = worker.seat.claims()
            seen[number] = on.Seen(worker.meter(), *claims)
        self._tell(name, device, on.Looked(seen))

    def _tell(self, name: str, device: Device, event: on.Event) -> None:
        now = self._clock()
        for action in on_event(device, event, now):
            self._obey(action)
        due = next_look(device, now)
        if due is None:
            self._due.pop(name, None)
        else:
            self._due[name] = due

    def _obey(self, action: do.Action) -> None:
        worker = self._workers[action.sharer]
        if isinstance(action, do.Allow):
            worker.seat.allow(action.turn, action.until_ns)
            return
        self._told(action)
        signum = _SIGNALS.get(type(action))
        if signum is not None:
            with suppress(ProcessLookupError):  # it has just exited
                self._send(worker.pidfd, signum)
