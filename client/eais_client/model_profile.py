"""What a model takes on a pool's devices, as the pool says."""

from __future__ import annotations

from dataclasses import dataclass

from eais.rpc.v1 import profiles_pb2


@dataclass(frozen=True, slots=True)
class Point:
    """How long batches of one size took, in seconds."""

    batch: int
    samples: int
    mean_s: float
    p50_s: float
    p99_s: float
    noise: float

    @property
    def throughput_per_s(self) -> float:
        """Items a second, one batch after the other."""
        return self.batch / self.mean_s if self.mean_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """What was measured on one share of one device model; `failed`: (batch, reason)."""

    kind: str
    device_model: str
    simulated: bool
    share_milli: int
    runtime: str
    precision: str
    measured_unix_s: float
    points: tuple[Point, ...]
    failed: tuple[tuple[int, str], ...]

    @classmethod
    def of_message(cls, message: profiles_pb2.ModelProfile) -> ModelProfile:
        """What a `ModelProfile` says."""
        points = (
            Point(p.batch, p.samples, p.mean_s, p.p50_s, p.p99_s, p.noise) for p in message.points
        )
        return cls(
            message.kind,
            message.device_model,
            message.simulated,
            message.share_milli,
            message.runtime,
            message.precision,
            message.measured_unix_s,
            tuple(points),
            tuple((each.batch, each.reason) for each in message.failed),
        )


@dataclass(frozen=True, slots=True)
class ProfileReport:
    """How far it is, and once it is `over`, what is known.

    Attributes:
        batches: that were timed, or failed.
        busy: where it is measured now; nowhere while others are.
        unmeasured: kind, device model, and why.
    """

    over: bool
    why: str
    digest: str
    batches: int
    busy: tuple[str, ...] = ()
    profiles: tuple[ModelProfile, ...] = ()
    unmeasured: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def of_message(cls, message: profiles_pb2.MeasureReply) -> ProfileReport:
        """What a `MeasureReply` says."""
        return cls(
            message.over,
            message.why,
            message.digest.hex(),
            message.batches,
            tuple(message.busy),
            tuple(map(ModelProfile.of_message, message.profiles)),
            tuple((each.kind, each.device_model, each.why) for each in message.unmeasured),
        )
