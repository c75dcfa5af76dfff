"""What was measured of a model on a device: latencies over sizes of batches. (Brain)

A profile is of one model, device model, share, runtime and precision. Its numbers come from
back-ends; none is believed that can't be: whatever makes no sense is a ValueError.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from eais.device_type import DeviceKind
from eais.tolerance import Precision

BATCH_MOST: Final = 1 << 16
SECONDS_MOST: Final = 3600.0
SHARE_MOST_MILLI: Final = 1 << 22
POINTS_MOST: Final = 64
TEXT_MOST: Final = 200
EXPECTED_NOISE: Final = 0.10
"""How much batches vary, as a share of their time, while little is known of it."""
_EXPECTED_WEIGHT: Final = 50
"""In samples: fewer than about so many say little of how much batches vary."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ProfileKey:
    """What a profile is of.

    Attributes:
        digest: of the model, SHA-256 in hex.
        device_model: as its maker calls it.
        runtime: such as "onnxruntime".
    """

    digest: str
    device_model: str
    share_milli: int
    runtime: str
    precision: Precision

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.digest):
            raise ValueError(f"digest = {self.digest[:80]!a}: must be 64 hexadecimal digits")
        for name in ("device_model", "runtime"):
            if not 0 < len(getattr(self, name)) <= TEXT_MOST:
                raise ValueError(f"{name}: must have 1 to {TEXT_MOST} characters")
        _check_whole("share_milli", self.share_milli, SHARE_MOST_MILLI)


@dataclass(frozen=True, slots=True)
class Point:
    """How long batches of one size took.

    Attributes:
        batch: items in each.
        samples: how many were timed.
        mean_s, p50_s, p99_s: of one batch, in seconds; with fewer than 100 samples the last
            is the longest seen.
        noise: standard deviation of one batch's time, as a share of the mean; 0 for one sample.
    """

    batch: int
    samples: int
    mean_s: float
    p50_s: float
    p99_s: float
    noise: float = 0.0

    def __post_init__(self) -> None:
        _check_whole("batch", self.batch, BATCH_MOST)
        _check_whole("samples", self.samples, 1 << 40)
        for name in ("mean_s", "p50_s", "p99_s"):
            check_seconds(name, getattr(self, name))
        if not self.p50_s <= self.p99_s:
            raise ValueError(f"p50_s = {self.p50_s}: must not be above p99_s = {self.p99_s}")
        if not 0 <= self.noise <= 100:
            raise ValueError(f"noise = {self.noise}: must be 0 to 100 times the mean")

    @property
    def throughput_per_s(self) -> float:
        """Items a second, one batch after the other."""
        return self.batch / self.mean_s

    @classmethod
    def of(cls, batch: int, samples: Sequence[float]) -> Point:
        """The point of `samples`, in seconds; ValueError for none, or one that can't be."""
        if not samples:
            raise ValueError("samples: there must be one at least")
        for sample in samples:
            check_seconds("a sample", sample)
        ordered, count = sorted(samples), len(samples)
        mean = math.fsum(ordered) / count
        squares = math.fsum((sample - mean) ** 2 for sample in ordered)
        noise = math.sqrt(squares / (count - 1)) / mean if count > 1 else 0.0
        median, most = ordered[(count - 1) // 2], ordered[math.ceil(0.99 * count) - 1]
        return cls(batch, count, mean, median, most, min(noise, 100.0))


@dataclass(frozen=True, slots=True)
class Failure:
    """A size of batch that couldn't be run there, and why, as a word of the error table."""

    batch: int
    reason: str

    def __post_init__(self) -> None:
        _check_whole("batch", self.batch, BATCH_MOST)
        if not 0 < len(self.reason) <= TEXT_MOST:
            raise ValueError(f"reason: must have 1 to {TEXT_MOST} characters")


@dataclass(frozen=True, slots=True)
class Profile:
    """What was measured, and when.

    Attributes:
        points: ascending by batch, one for each.
        failed: sizes that aren't tried again.
        measured_unix_s: for people; nothing is decided by it.
        simulated: the device is; so is what its profile says of speed.
    """

    key: ProfileKey
    kind: DeviceKind
    points: tuple[Point, ...]
    failed: tuple[Failure, ...] = ()
    measured_unix_s: float = 0.0
    simulated: bool = False

    def __post_init__(self) -> None:
        for name in ("points", "failed"):
            sizes = [each.batch for each in getattr(self, name)]
            if len(sizes) > POINTS_MOST or any(a >= b for a, b in pairwise(sizes)):
                raise ValueError(
                    f"{name}: must be at most {POINTS_MOST}, ascending by batch, one for each"
                )
        if not 0 <= self.measured_unix_s < 1e11:
            raise ValueError(f"measured_unix_s = {self.measured_unix_s}: is no time")

    @classmethod
    def of(
        cls,
        key: ProfileKey,
        kind: DeviceKind,
        samples: Mapping[int, Sequence[float]],
        *,
        failed: Mapping[int, str] | None = None,
        measured_unix_s: float = 0.0,
        simulated: bool = False,
    ) -> Profile:
        """The profile of `samples`: seconds by size of batch; ValueError as for its parts."""
        points = tuple(Point.of(batch, samples[batch]) for batch in sorted(samples))
        failures = tuple(Failure(*item) for item in sorted((failed or {}).items()))
        return cls(key, kind, points, failures, measured_unix_s, simulated)


def noise_of(profiles: Iterable[Profile]) -> float:
    """How much a batch's time varies, as a share of it, from all points together.

    As if `_EXPECTED_WEIGHT` samples had varied by `EXPECTED_NOISE` before: few samples say
    nothing of a tail.
    """
    points = [point for profile in profiles for point in profile.points]
    squares = math.fsum((point.samples - 1) * point.noise**2 for point in points)
    count = sum(point.samples - 1 for point in points)
    expected = _EXPECTED_WEIGHT * EXPECTED_NOISE**2
    return math.sqrt((expected + squares) / (_EXPECTED_WEIGHT + count))


def check_seconds(name: str, value: float) -> None:
    """ValueError unless a batch may have taken so long."""
    if not 0 < value <= SECONDS_MOST:
        raise ValueError(f"{name} = {value}: must be above 0 and at most {SECONDS_MOST:g} s")


def _check_whole(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise ValueError(f"{name} = {value}: must be 1 to {most}")
