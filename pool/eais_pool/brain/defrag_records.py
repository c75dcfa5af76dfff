"""A defragmentation: its list of moves, how far each is, and the facts of it. (Brain)

The pool remembers the last one. A move that was begun is a MOVING lease, like any other's; what
stands here is what is to become of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from eais_pool.brain.state import PoolState

STEPS_MOST: Final = 256
"""Moves of one defragmentation."""


class StepState(StrEnum):
    """How far a move is: WAITING, MOVING, then DONE or SKIPPED."""

    WAITING = "waiting"
    MOVING = "moving"
    DONE = "done"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """One move.

    Attributes:
        origin, to: hosts.
        epoch: of the lease that the instance had when it was planned.
        gain: by how much the measure was to fall, in milli-devices.
        moved_epoch: of the lease that is to take that one's place; 0 before that.
        why: it was SKIPPED.
    """

    instance: str
    type: str
    origin: str
    to: str
    epoch: int
    gain: float
    state: StepState = StepState.WAITING
    moved_epoch: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class RoomChange:
    """The largest size of a kind that one host has free, milli-devices, without and with moves."""

    kind: str
    before_milli: int
    after_milli: int


@dataclass(frozen=True, slots=True)
class DefragPlan:
    """Moves in their order.

    Attributes:
        lost_before, lost_after: what of free devices is lost without and with them, milli-devices.
        left_out: hosts that couldn't be reached.
    """

    steps: tuple[Step, ...]
    lost_before: float
    lost_after: float
    rooms: tuple[RoomChange, ...]
    left_out: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether nothing more is done of it."""
        ended = (StepState.DONE, StepState.SKIPPED)
        return all(step.state in ended for step in self.steps)


@dataclass(frozen=True, slots=True)
class DefragAsk:
    """What an operator asks for.

    Attributes:
        most: moves.
        stop: the one under way, and nothing else.
        plan: as it was made for this.
    """

    most: int = STEPS_MOST
    stop: bool = False
    plan: DefragPlan | None = None


@dataclass(frozen=True, slots=True)
class Defragmentation:
    """One that an operator asked for, by `op_id`."""

    operator: str
    op_id: str
    plan: DefragPlan

    @property
    def is_over(self) -> bool:
        """Whether nothing more is done."""
        return self.plan.is_over

    def moving(self, instance: str) -> int | None:
        """Which step moves that instance now, if one does."""
        found = (n for n, step in enumerate(self.plan.steps) if _is_moving(step, instance))
        return next(found, None)

    def stepped(self, n: int, step: Step) -> Defragmentation:
        """With that one in the place of the nth."""
        steps = (*self.plan.steps[:n], step, *self.plan.steps[n + 1 :])
        return replace(self, plan=replace(self.plan, steps=steps))


@dataclass(frozen=True, slots=True)
class DefragBegun:
    """Fact: an operator wants this done."""

    record: Defragmentation


@dataclass(frozen=True, slots=True)
class DefragStepped:
    """Fact: the nth move has come further."""

    n: int
    state: StepState
    moved_epoch: int = 0
    why: str = ""


DefragFact = DefragBegun | DefragStepped


def _is_moving(step: Step, instance: str) -> bool:
    return step.instance == instance and step.state is StepState.MOVING


def _begun(state: PoolState, fact: DefragBegun) -> None:
    state.defrag = fact.record


def _stepped(state: PoolState, fact: DefragStepped) -> None:
    if state.defrag is None:
        raise KeyError("no defragmentation was begun")
    before = state.defrag.plan.steps[fact.n]
    epoch = fact.moved_epoch or before.moved_epoch
    step = replace(before, state=fact.state, moved_epoch=epoch, why=fact.why)
    state.defrag = state.defrag.stepped(fact.n, step)


DEFRAG_FACTS: Final[Mapping[type[Any], Callable[[PoolState, Any], None]]] = {
    DefragBegun: _begun,
    DefragStepped: _stepped,
}
