"""What the supervision of workers knows. (Brain)"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from eais_server.supervision.device import Device, DeviceHealth
from eais_server.supervision.held import NEVER, Held, SeatView, Slot, Worker
from eais_server.supervision.life import WorkerState
from eais_server.supervision.quarantine import Quarantine
from eais_server.supervision.restart_count import RestartCount

# From when it is ready until it is told to end.
_SPEAKS: Final = (
    WorkerState.SPARE,
    WorkerState.CHECKING,
    WorkerState.ADOPTING,
    WorkerState.LOADING,
    WorkerState.SERVING,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many spares, and how long each step of a worker's life may take (seconds)."""

    spares: int = 1
    spawn_timeout_s: float = 60.0
    adopt_timeout_s: float = 10.0
    load_timeout_s: float = 120.0
    # Silence, after which a worker is looked at once more before it is killed: of one that waits
    # or serves, and of one that binds or loads. For a part of a load other threads stand still:
    # measured 0.8 s for a model of 1 GiB, and a model has 2 GiB at most. The longer one holds.
    heartbeat_timeout_s: float = 1.0
    load_silence_s: float = 5.0
    second_look_s: float = 0.4
    # So many times as long may one be silent that waits for a CPU most of that time.
    starved_times: float = 10.0
    # While one that was adopted binds, and so long until it has loaded, no spare is started: that
    # takes half a second of a core. A long load isn't what a host is without a spare for.
    hurry_s: float = 1.0
    # Workers that may end before a grant that was never answered is given up.
    grant_attempts: int = 5
    # Beyond its grace, for the exit itself.
    exit_margin_s: float = 0.25
    # After a model's last death; see `eais_server.supervision.quarantine`.
    quarantine_s: float = 24 * 3600.0
    # Calls of a suspect wait so long: those of others that broke with them are back by then.
    suspect_hold_s: float = 1.0
    # For a known answer of a device, its runtime's start included.
    device_check_s: float = 10.0
    # Workers that may end while they load a session, for whatever reason of their own.
    load_attempts: int = 5


@dataclass(slots=True)
class State:
    """All leases, all processes, all models that killed some, and the devices that are watched."""

    limits: Limits = Limits()
    leases: dict[str, Held] = field(default_factory=dict)
    workers: dict[int, Worker] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    last_worker: int = 0
    spawning: RestartCount = field(default_factory=RestartCount)
    spawn_at: float = 0.0
    stopping: bool = False
    stopped: bool = False
    quarantine: Quarantine = field(init=False)

    def __post_init__(self) -> None:
        self.quarantine = Quarantine(self.limits.quarantine_s)

    def seats(self, instance: str) -> tuple[SeatView, ...]:
        """The instance's workers, by number."""
        held = self.leases[instance]
        return tuple(self._seat(slot) for _, slot in sorted(held.slots.items()))

    def _seat(self, slot: Slot) -> SeatView:
        worker = self.workers.get(slot.worker)
        serving = worker is not None and worker.state is WorkerState.SERVING
        return SeatView(slot.n, slot.port, slot.incarnation, slot.level, serving)

    def of(self, held: Held) -> Iterator[Worker]:
        """The processes of a lease, whatever they do."""
        return (self.workers[s.worker] for s in held.slots.values() if s.worker)

    def reference_only(self, instance: str, session: str) -> bool:
        """Whether no other runtime is to be tried for the session."""
        held = self.leases.get(instance)
        known = held.sessions.get(session) if held else None
        return known is not None and known.reference_only

    def health(self, slot: Slot) -> DeviceHealth:
        """What is thought of the device of which the slot is a share."""
        device = self.devices.get(slot.device)
        return device.health if device is not None else DeviceHealth.HEALTHY

    def spares(self) -> int:
        """How many workers wait to be adopted."""
        return sum(worker.state is WorkerState.SPARE for worker in self.workers.values())

    def next_wake(self, now: float) -> float:
        """When a Tick has something to do, by the caller's clock; `inf` for never."""
        starts = [s.retry_at for h in self.leases.values() for s in h.slots.values()]
        loads = (w for w in self.workers.values() if w.state is WorkerState.LOADING)
        hurries = [w.since + self.limits.hurry_s for w in loads]
        begin = (self.spawn_at, *starts, *hurries)
        later = [at for at in begin if at > now and not self.stopping]
        ends = [min(w.deadline, self.silent_at(w)) for w in self.workers.values()]
        return min((*later, *ends), default=NEVER)

    def silent_at(self, worker: Worker) -> float:
        """When the worker will have been silent for too long; `inf` if it needn't speak."""
        if worker.state not in _SPEAKS:
            return NEVER
        silent_at = worker.heard_at + self.patience_s(worker)
        return silent_at if worker.second_look_at == NEVER else worker.second_look_at

    def is_waited_for(self, worker: Worker, now: float) -> bool:
        """Whether calls wait for the worker, and it will soon be there if it has a core."""
        if worker.state is WorkerState.LOADING:
            return now < worker.since + self.limits.hurry_s
        return worker.state is WorkerState.ADOPTING

    def patience_s(self, worker: Worker) -> float:
        """How long the worker may be silent as things stand."""
        busy = worker.loading or worker.state in (WorkerState.ADOPTING, WorkerState.CHECKING)
        limits = self.limits
        return max(limits.heartbeat_timeout_s, limits.load_silence_s if busy else 0.0)

    def validate(self) -> None:
        """Raise AssertionError when the parts contradict each other."""
        seats = [worker.seat for worker in self.workers.values() if worker.seat]
        assert len(seats) == len(set(seats)), "two live workers in one seat"
        for held in self.leases.values():
            self._validate_lease(held)
        for worker in self.workers.values():
            assert worker.state is not WorkerState.EXITED, "an exited worker is remembered"
            checks = worker.checks and self.devices[worker.checks].checker == worker.id
            assert bool(worker.checks) == bool(checks), "a check isn't its device's"
            if worker.seat:
                instance, n = worker.seat
                assert self.leases[instance].slots[n].worker == worker.id, "a seat isn't its slot's"

    def _validate_lease(self, held: Held) -> None:
        for session in held.sessions.values():
            condemned = self.quarantine.condemned(held.model_of(session))
            assert not condemned, "a session's model is quarantined"
            assert session.refused.keys() <= held.slots.keys(), "a slot that is gone refuses"
        for worker in self.of(held):
            assert worker.seat is not None, "a slot's worker has no seat"
            if worker.state is WorkerState.SERVING:
                wanted = {s.id for s in held.wanted(worker.seat[1]) if s.kept}
                assert wanted <= worker.loaded, "a serving worker lacks a session"
