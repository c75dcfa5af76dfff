"""What other policies would have made of recorded demand, as the pool says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eais.rpc.v1 import whatif_pb2

ORACLE: Final = "oracle"


@dataclass(frozen=True, slots=True)
class ReplayLine:
    """What came of one policy.

    Attributes:
        policy: as it was said; "as it was", "oracle".
        instance: "": all together.
        cost: of what served, in the unit of the pool's prices.
        calls, late: that came, and of them those that waited for longer than they may.
        switches: seconds in which what served became something else.
        seconds: of demand that were counted.
    """

    policy: str
    instance: str
    cost: float
    calls: float
    late: float
    switches: int
    seconds: int

    @classmethod
    def of_message(cls, message: whatif_pb2.ReplayLine) -> ReplayLine:
        """The line that the wire describes."""
        return cls(
            policy=message.policy,
            instance=message.instance,
            cost=message.cost,
            calls=message.calls,
            late=message.late,
            switches=message.switches,
            seconds=message.seconds,
        )

    @property
    def late_percent(self) -> float:
        """Of all calls."""
        return 100 * self.late / self.calls if self.calls else 0.0

    @property
    def switches_per_hour(self) -> float:
        """Of an instance."""
        return 3600 * self.switches / self.seconds if self.seconds else 0.0


def replay_request(
    since_s: float, until_s: float, instance: str, policies: Sequence[str]
) -> whatif_pb2.ReplayRequest:
    """What asks for it, as the wire says it."""
    return whatif_pb2.ReplayRequest(
        since_s=since_s, until_s=until_s, instance=instance, policies=policies
    )


def replay_lines(reply: whatif_pb2.ReplayReply) -> tuple[ReplayLine, ...]:
    """The lines of an answer."""
    return tuple(map(ReplayLine.of_message, reply.lines))
