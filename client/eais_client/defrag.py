"""A defragmentation of the pool: its moves, and what they gain, as the manager says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eais.rpc.v1 import hosts_pb2


@dataclass(frozen=True, slots=True)
class DefragMove:
    """An instance that goes from one host to another.

    Attributes:
        origin, to: hosts.
        gain_milli: how much less is lost by it, in milli-devices.
        state: "waiting", "moving", "done" or "skipped"; "" of a dry run.
        why: it was skipped.
    """

    instance: str
    type: str
    origin: str
    to: str
    gain_milli: float
    state: str
    why: str


@dataclass(frozen=True, slots=True)
class RoomChange:
    """The largest size of a kind that one host has free, in milli-devices, before and after."""

    kind: str
    before_milli: int
    after_milli: int


@dataclass(frozen=True, slots=True)
class Defragmentation:
    """All moves in their order, and what of free devices is of no use, in milli-devices.

    `lost_before_milli`, `lost_after_milli`: without and with all moves. `over`: nothing more is
    done. `left_out`: hosts that couldn't be reached.
    """

    moves: tuple[DefragMove, ...]
    lost_before_milli: float
    lost_after_milli: float
    rooms: tuple[RoomChange, ...]
    over: bool
    left_out: tuple[str, ...] = ()

    @classmethod
    def of_message(cls, message: hosts_pb2.DefragReply) -> Defragmentation:
        """What the wire describes."""
        moves = (
            DefragMove(
                each.instance,
                each.type,
                each.origin,
                each.to,
                each.gain_milli,
                each.state,
                each.why,
            )
            for each in message.moves
        )
        rooms = (RoomChange(e.kind, e.before_milli, e.after_milli) for e in message.rooms)
        return cls(
            tuple(moves),
            message.lost_before_milli,
            message.lost_after_milli,
            tuple(rooms),
            message.over,
            tuple(message.left_out),
        )

    @property
    def ended(self) -> int:
        """How many moves are over."""
        return sum(move.state in ("done", "skipped") for move in self.moves)
