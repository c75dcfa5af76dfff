"""What a search for a capacity seeks, the trials that it makes, and what each one says. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf, sqrt
from statistics import NormalDist

from eais.errors import make_error
from eais_client.load.brain.crossing import Blocks
from eais_client.load.brain.plan import Open, Phase, Spacing, Stretch
from eais_client.load.record import PhaseRecord, count_within

_SURE = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Goal:
    """What is sought.

    Attributes:
        slo_s: within which a request is to be answered, counted from when it was due.
        share: of the requests that are; 0.99 is a p99.
        low_per_s, high_per_s: between which rates. With a finite upper one the search may end
            with "at least that".
        first_per_s: where to begin, such as a half of what a closed loop got; the lowest if 0.
        precision: the search ends when its interval is at most so far off on each side, relative.
        confidence: of that interval.
        budget_s: or when trials took so long, their warm parts included.
    """

    slo_s: float
    share: float = 0.99
    low_per_s: float = 1.0
    high_per_s: float = inf
    first_per_s: float = 0.0
    precision: float = 0.05
    confidence: float = 0.95
    budget_s: float = 600.0

    def __post_init__(self) -> None:
        """Raise a `UsageError` that names what can't be."""
        if not 0 < self.slo_s < inf:
            raise make_error("ARGUMENT", f"an SLO of {self.slo_s:g} s: it must be above 0")
        if not 0 < self.share < 1:
            raise make_error(
                "ARGUMENT", f"a share of {self.share:g} within the SLO: it is between 0 and 1"
            )
        if not 0 < self.low_per_s <= self.high_per_s:
            text = f"rates from {self.low_per_s:g}/s to {self.high_per_s:g}/s are no range"
            raise make_error("ARGUMENT", text, hint="0 < lowest <= highest")


@dataclass(frozen=True, slots=True)
class Trial:
    """A phase to be run: an open loop at this rate, so long, after a warm part of so long."""

    rate_per_s: float
    seconds: float
    warm_s: float


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What became of it.

    Attributes:
        rate_per_s: the trial's own.
        seconds: it took, the warm part included.
        blocks: due and late of each second of it, in order; late is what was answered after the
            SLO, wrongly, or not at all.
        kept: whether the generator kept its schedule. If not, a trial that is carried all the same
            counts, and one that isn't doesn't.
    """

    rate_per_s: float
    seconds: float
    blocks: Blocks
    kept: bool = True

    @property
    def due(self) -> int:
        """Requests."""
        return sum(due for due, _ in self.blocks)

    @property
    def late(self) -> int:
        """Of those."""
        return sum(late for _, late in self.blocks)


def phase_of(trial: Trial, spacing: Spacing = Spacing.POISSON, burst: float = 1.0) -> Phase:
    """The phase that makes a trial."""
    stretch = Stretch(trial.warm_s + trial.seconds, trial.rate_per_s, trial.rate_per_s)
    load = Open(spacing, (stretch,), burst)
    return Phase(f"{trial.rate_per_s:.4g}/s", load, trial.seconds, trial.warm_s)


def result_of(trial: Trial, record: PhaseRecord, slo_s: float, *, kept: bool) -> TrialResult:
    """What a phase that `phase_of` made says of its trial.

    Late is what wasn't rightly answered within `slo_s`; `kept` is whether the generator kept its
    schedule.
    """
    blocks = tuple(
        (each.due, max(0, each.due - count_within(each.latency, slo_s)))
        for second, each in sorted(record.intervals.items())
        if second >= 0
    )
    return TrialResult(trial.rate_per_s, trial.warm_s + record.seconds, blocks, kept)


class Verdict(StrEnum):
    """Of a trial: whether its rate is carried."""

    CARRIED = "carried"
    TOO_MUCH = "too much"
    UNSURE = "unsure"


def verdict(blocks: Blocks, late_share: float) -> Verdict:
    """Whether surely (95 %) fewer than `late_share` are late, or more.

    By batch means, with the variance of independent requests as the least, and Agresti and
    Coull's two late and two in time added, so that a trial of few says little.
    """
    due, late = sum(due for due, _ in blocks), sum(late for _, late in blocks)
    share = (late + 2) / (due + 4)
    spread = share * (1 - share) / (due + 4)
    if len(blocks) > 3 and late:
        off = sum((each_late - late / due * each_due) ** 2 for each_due, each_late in blocks)
        spread = max(spread, off * len(blocks) / (len(blocks) - 1) / due**2)
    if late / max(1, due) > late_share and share - _SURE * sqrt(spread) > late_share:
        return Verdict.TOO_MUCH
    return Verdict.CARRIED if share + _SURE * sqrt(spread) < late_share else Verdict.UNSURE
