"""A shared device and its workers under a clock of their own, driven by the brain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from eais_server.turns.brain import ALWAYS, Device, Limits, next_look, on_event
from eais_server.turns.brain import actions as do
from eais_server.turns.brain import events as on

MS = 1_000_000
S = 1_000_000_000
LATENCY = 50_000
"""From when somebody rings to when it is looked."""

Lengths = Callable[[], int]


def always(ns: int) -> Lengths:
    return lambda: ns


@dataclass
class Process:
    """A worker that runs a batch after the other, with a pause between."""

    id: int
    weight: int
    batch: Lengths
    pause: Lengths = field(default_factory=lambda: always(20_000))
    asks: bool = True  # else it runs without
    gives_back: bool = True  # else it says that its batch goes on
    tells_truth: bool = True  # else it says that it is done, and goes on
    until: int = 0
    turn: int = 0
    waits: bool = False
    inside: bool = False
    back: int = 0
    begun: int = 0
    tells: bool = False  # says when it begins the first batch of a turn
    cpu: int = 0
    left: int = 0
    next: int = 0
    stopped: bool = False
    stopped_at: int = 0
    killed: bool = False
    longest_wait: int = 0
    since: int = 0

    @property
    def runs(self) -> bool:
        return self.left > 0 and not self.stopped and not self.killed

    def act(self, now: int) -> bool:
        """Begin a batch, or ask; whether it rings."""
        if self.left or now < self.next or self.stopped or self.killed:
            return False
        if not self.asks:
            self.left = self.batch()
            return False
        if now < self.until:
            self.longest_wait = max(self.longest_wait, now - self.since)
            self.waits, self.inside, self.left = False, True, self.batch()
            rings = self.tells and self.begun != self.turn
            self.begun = self.turn if self.tells else 0
            return rings
        rings, self.waits = not self.waits, True
        return rings

    def ended(self, now: int) -> bool:
        """Its batch is over; whether it rings."""
        pause = self.pause()
        self.next = self.since = now + pause
        if not self.asks or not self.gives_back:
            self.next = now
            self.left = self.batch() if self.asks else 0
            return False
        self.inside = False
        rests = pause > MS and self.until != ALWAYS
        if now >= self.until or rests:
            self.back = self.turn
            return True
        return False


class World:
    """The device gives each of those that compute at a time an equal part of itself."""

    def __init__(
        self, limits: Limits | None = None, *, metered: bool = True, wakes_ns: int = 0
    ) -> None:
        self.device = Device(limits or Limits())
        self.wakes_ns = wakes_ns  # from a turn that is given to who sleeps until it runs
        self.metered = metered
        self.now = S
        self.processes: dict[int, Process] = {}
        self.look_at: int | None = None
        self.said: list[do.Action] = []
        self.idle = 0
        self.longest_stop = 0

    def join(self, process: Process) -> Process:
        self.processes[process.id] = process
        process.next = process.since = self.now
        process.tells = not self.metered
        used = process.cpu if self.metered else None
        self.tell(on.Joined(process.id, process.weight, used))
        return process

    def leave(self, process: Process) -> None:
        self.look()
        del self.processes[process.id]
        self.tell(on.Left(process.id))

    def tell(self, event: on.Event) -> None:
        for action in on_event(self.device, event, self.now):
            self.obey(action)
        self.device.validate()
        due = next_look(self.device, self.now)
        if self.look_at is None or self.look_at <= self.now or (due and due < self.look_at):
            self.look_at = due

    def obey(self, action: do.Action) -> None:
        process = self.processes[action.sharer]
        match action:
            case do.Allow(_, turn, until):
                if process.waits and until and turn != process.turn:
                    process.next = self.now + self.wakes_ns
                process.turn, process.until = turn, until
            case do.Stop():
                assert not process.stopped
                process.stopped, process.stopped_at = True, self.now
            case do.Resume():
                assert process.stopped
                process.stopped = False
                self.longest_stop = max(self.longest_stop, self.now - process.stopped_at)
            case do.Kill():
                assert not process.killed, "killed twice"
                process.killed = True
        if not isinstance(action, do.Allow):
            self.said.append(action)

    def look(self) -> None:
        seen = {
            p.id: on.Seen(
                p.cpu if self.metered else None,
                p.waits,
                p.inside and p.tells_truth,
                p.back,
                p.begun,
            )
            for p in self.processes.values()
        }
        self.tell(on.Looked(seen))

    def ring(self) -> None:
        at = self.now + LATENCY
        self.look_at = min(self.look_at or at, at)

    def run(self, ns: int) -> None:
        end = self.now + ns
        while self.now < end:
            self.step(end)

    def step(self, end: int) -> None:
        processes = list(self.processes.values())
        rang = [p.act(self.now) for p in processes]
        if any(rang):
            self.ring()
        running = [p for p in processes if p.runs]
        count = len(running)
        waking = [p.next for p in processes if p.next > self.now and not p.left]
        done = [self.now + p.left * count for p in running]
        at = min(end, *waking, *done, self.look_at or end)
        self.pass_until(max(at, self.now + 1), running)
        if self.look_at is not None and self.now >= self.look_at:
            self.look()

    def pass_until(self, at: int, running: list[Process]) -> None:
        past, self.now = at - self.now, at
        if not running:
            self.idle += past
        for process in running:
            part = min(process.left, -(-past // len(running)))
            process.cpu += part
            process.left -= part
            if not process.left and process.ended(self.now):
                self.ring()

    def used(self, ns: int) -> dict[int, int]:
        """What each uses while so much time passes."""
        before = {p.id: p.cpu for p in self.processes.values()}
        self.run(ns)
        return {p.id: p.cpu - before.get(p.id, 0) for p in self.processes.values()}

    def shares(self, ns: int) -> dict[int, float]:
        """In percent of what all use."""
        used = self.used(ns)
        return {i: 100 * part / sum(used.values()) for i, part in used.items()}
