"""What is told to measuring, and what it has done. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from eais_pool.policy.choosing import Candidate, Runner
from eais_pool.policy.profiles import POINTS_MOST


@dataclass(frozen=True, slots=True)
class Device:
    """A device to measure on, and the shares of it that might be chosen, by runner."""

    id: str
    candidates: tuple[Candidate, ...]
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What measuring may take: batches of each device, and seconds of all together."""

    batches: int = 20
    seconds: float = 30.0

    def __post_init__(self) -> None:
        if not 1 <= self.batches <= POINTS_MOST:
            raise ValueError(f"batches = {self.batches}: must be 1 to {POINTS_MOST}")
        if not self.seconds > 0:
            raise ValueError(f"seconds = {self.seconds}: must be above 0")


@dataclass(frozen=True, slots=True)
class RunBatch:
    """Time one batch on a share of a device; run one before, untimed, if its size is new there."""

    device: str
    runner: Runner
    share_milli: int
    batch: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The batch that runs there is waited for no longer."""

    asked: RunBatch


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing more is to be measured, and why; `Measuring.profiles` has what was."""

    why: str


Action: TypeAlias = RunBatch | GiveUp | Finished


@dataclass(frozen=True, slots=True)
class Began:
    """Measuring begins."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a batch took; `more`: when it was run again at once."""

    asked: RunBatch
    seconds: float
    more: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchFailed:
    """A batch failed, or needs more memory than the share has; a word of the error table."""

    asked: RunBatch
    reason: str


@dataclass(frozen=True, slots=True)
class Unbatched:
    """A batch of several was refused, since the model takes one item a call, on any device."""

    asked: RunBatch
    reason: str


@dataclass(frozen=True, slots=True)
class DeviceGone:
    """A device can't be measured on any more."""

    device: str


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed: to be told each second, and when the time is over."""


Event: TypeAlias = Began | Measured | BatchFailed | Unbatched | DeviceGone | Ticked
