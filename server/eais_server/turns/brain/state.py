"""The sharers of one device, and what they owe each other. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

ALWAYS: Final = (1 << 64) - 1
"""As the time until which batches may begin: free running."""

NEVER: Final = -(1 << 62)


@dataclass(frozen=True, slots=True)
class Limits:
    """Times, in nanoseconds.

    Attributes:
        round_ns: the turns of all that wait, together; each has its weight's part of it.
        least_turn_ns: no turn is shorter.
        ahead_ns: who comes with so much more credit than the holder has cuts its turn short.
        think_ns: the device waits so long for one that is owed time, and that asks again as
            soon as that by habit, before it goes to one in debt.
        memory_ns: who has neither run nor waited for so long loses its credit.
        credit_ns: above that, credit doesn't grow while one is away.
        batch_ns: a batch may last so long beyond its turn's end while others wait.
        astray_ns: debt may grow by so much without a turn: networking is no batch.
        stop_ns: no process is stopped for longer at a time, or it would be taken for dead.
        kill_ns: device time used in overruns that ends a worker,
        forgive_ns: unless there was none for so long.
        start_ns: where nothing sees what it uses, a holder isn't charged before it has begun a
            batch: it has to be woken first. But after so long it is.
        bank_ns: a holder that uses less than a quarter of the time is charged a quarter; it may
            fall short of that by so much.
        look_ns, seldom_ns: between two looks, while somebody waits and else.
    """

    round_ns: int = 40_000_000
    least_turn_ns: int = 2_000_000
    ahead_ns: int = 1_000_000
    think_ns: int = 500_000
    memory_ns: int = 50_000_000
    credit_ns: int = 25_000_000
    batch_ns: int = 1_000_000_000
    astray_ns: int = 50_000_000
    stop_ns: int = 400_000_000
    kill_ns: int = 10_000_000_000
    forgive_ns: int = 60_000_000_000
    start_ns: int = 2_000_000
    bank_ns: int = 100_000_000
    look_ns: int = 10_000_000
    seldom_ns: int = 100_000_000


class Stage(StrEnum):
    """How a sharer behaves."""

    FINE = "FINE"
    WITHHELD = "WITHHELD"
    STOPPED = "STOPPED"
    KILLED = "KILLED"


@dataclass(slots=True)
class Sharer:
    """A worker on the device.

    Attributes:
        weight: milli-devices.
        used_ns: as last seen; None: nothing sees it.
        deficit_ns: device time that it is owed (below 0: that it owes).
        waits, inside: as last seen.
        active_ns: when it was last seen to wait, or to run in its turn.
        ended_ns: when its last turn ended, until it asks again; NEVER: it has asked.
        think_ns: how soon it asks again, on average.
        floor_ns: where its debt stood when it had its last turn, or better since.
        unused_ns: device time that its turns left unused.
        stopped_ns: when it was stopped last.
        excused: it does what has no turns.
        late: a batch of it was running on when its turn was taken.
        overran_ns, overran_at_ns: device time used in overruns, and when the last one began.
    """

    id: int
    weight: int
    used_ns: int | None
    deficit_ns: int = 0
    waits: bool = False
    inside: bool = False
    active_ns: int = NEVER
    ended_ns: int = NEVER
    think_ns: int = 0
    floor_ns: int = 0
    unused_ns: int = 0
    stage: Stage = Stage.FINE
    stopped_ns: int = NEVER
    excused: bool = False
    late: bool = False
    overran_ns: int = 0
    overran_at_ns: int = NEVER

    @property
    def asks(self) -> bool:
        """Whether it may be given a turn, and wants one."""
        return self.waits and self.stage is Stage.FINE


@dataclass(slots=True)
class Device:
    """A shared device. What its sharers are owed and owe adds up to nothing.

    Attributes:
        sharers: in the order in which they had their last turns.
        holder: whose turn it is.
        turn: its number; it grows with each.
        began_ns, until_ns: when it began, and until when batches may begin.
        begun: its holder said that it began a batch in this turn.
        awaited: nobody has it, since this one is owed time and is about to ask,
        linger_ns: until then.
        looked_ns: when it was last looked.
    """

    limits: Limits = field(default_factory=Limits)
    sharers: dict[int, Sharer] = field(default_factory=dict)
    holder: Sharer | None = None
    turn: int = 0
    began_ns: int = 0
    until_ns: int = 0
    begun: bool = False
    awaited: Sharer | None = None
    linger_ns: int = NEVER
    looked_ns: int = NEVER

    def busy(self, sharer: Sharer) -> bool:
        """Whether it waits for the device, or ran in its turn just now."""
        recent = self.looked_ns - sharer.active_ns < self.limits.memory_ns
        return sharer.waits or (self.holder is sharer and recent)

    def contested(self, sharer: Sharer) -> bool:
        """Whether another one wants the device, too."""
        return any(other is not sharer and self.busy(other) for other in self.sharers.values())

    def askers(self) -> list[Sharer]:
        """Those that wait and may have the next turn, who waits longest first."""
        return [s for s in self.sharers.values() if s.asks and s is not self.holder]

    def validate(self) -> None:
        """Raise ValueError when the state doesn't hold together."""
        if sum(s.deficit_ns for s in self.sharers.values()):
            raise ValueError("what is owed isn't what is due")
        if self.holder is not None and self.sharers.get(self.holder.id) is not self.holder:
            raise ValueError("the turn is nobody's")
        if self.holder is not None and self.holder.stage is not Stage.FINE:
            raise ValueError("a turn that was to be withheld")
