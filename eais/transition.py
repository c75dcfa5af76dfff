"""A life-cycle as one table: (state, event) -> state.

An event that has no row in the table raises `IllegalMove` and changes nothing.
The diagrams in the docs are generated from the tables by `mermaid`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class IllegalMove(Exception):
    """The event isn't allowed in this state; nothing was changed."""

    def __init__(self, what: str, state: StrEnum, event: StrEnum) -> None:
        super().__init__(f"{what}: no {event.value!r} in state {state.value}")
        self.state = state
        self.event = event


@dataclass(frozen=True)
class TransitionTable(Generic[S, E]):
    """All legal moves of one kind of thing."""

    what: str
    moves: Mapping[tuple[S, E], S]

    def after(self, state: S, event: E) -> S:
        """The state that follows; `IllegalMove` if the table has no such row."""
        try:
            return self.moves[state, event]
        except KeyError:
            raise IllegalMove(self.what, state, event) from None

    def allows(self, state: S, event: E) -> bool:
        """Whether `event` has a row for `state`."""
        return (state, event) in self.moves

    def mermaid(self) -> str:
        """A Mermaid state diagram of the table, rows in order."""
        rows = (f"    {a.value} --> {b.value}: {e.value}" for (a, e), b in self.moves.items())
        return "\n".join(["stateDiagram-v2", *rows])
