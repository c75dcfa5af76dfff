"""The ratio of CPU to accelerator of an instance, as the pool decides it and says why."""

from __future__ import annotations

from dataclasses import dataclass

from eais.rpc.v1 import pool_pb2


@dataclass(frozen=True, slots=True)
class RatioDecision:
    """A decision that asked for something else than the one before.

    Attributes:
        age_s: how long ago.
        target, requested, observed: what the demand needed, what was asked for, and what served.
        cost_per_h: of what was asked for, in the unit of the pool's prices.
        required_per_s, arrived, waiting: calls a second to serve, that came; those that waited.
        cause: a word of docs/ratio.md; `why`: all of it in words; `weighed`: what else.
        failed: why it couldn't be had; "" if it could.
    """

    age_s: float
    target: str
    requested: str
    observed: str
    cost_per_h: float
    required_per_s: float
    arrived: float
    waiting: float
    cause: str
    why: str
    weighed: tuple[str, ...]
    failed: str

    @classmethod
    def of_message(cls, said: pool_pb2.RatioDecision) -> RatioDecision:
        """The decision that the wire describes."""
        return cls(
            age_s=said.age_s,
            target=said.target,
            requested=said.requested,
            observed=said.observed,
            cost_per_h=said.cost_per_h,
            required_per_s=said.required_per_s,
            arrived=said.arrived,
            waiting=said.waiting,
            cause=said.cause,
            why=said.why,
            weighed=tuple(said.weighed),
            failed=said.failed,
        )


@dataclass(frozen=True, slots=True)
class InstanceRatio:
    """The last decisions, the newest last; what serves now; whether a call has to wake it."""

    decisions: tuple[RatioDecision, ...]
    observed: str
    asleep: bool

    @classmethod
    def of_message(cls, said: pool_pb2.Ratio) -> InstanceRatio:
        """The ratio that the wire describes."""
        decisions = tuple(map(RatioDecision.of_message, said.decisions))
        return cls(decisions, said.observed, said.asleep)
