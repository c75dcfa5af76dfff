"""How long a server of known behaviour takes, in a time that is told to it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np

from eais.errors import UsageError

DISTRIBUTIONS: Final = ("constant", "exponential", "lognormal")


@dataclass(frozen=True, slots=True)
class Known:
    """What the server is like.

    Attributes:
        distribution: of service times, a name of `DISTRIBUTIONS`.
        mean_ms: of the constant and the exponential one; of the lognormal one its median.
        sigma: of the lognormal one: the standard deviation of the time's logarithm.
        draws: service times are the distribution's quantiles at (k + 1/2) / draws in a random
            order, then the same again: the sample's quantiles are the distribution's own.
        servers: calls that are served at once, in the order of their arrival; 0: any number.
        stall_every_s, stall_s: at each multiple of the first, of the monotonic clock, and for as
            long as the second, no call is begun: it waits for the end of that.
        refuse_share, wrong_share: of the calls: refused with RESOURCE_EXHAUSTED; answered wrongly.
        dies_after: calls, after which each fails with UNAVAILABLE; 0: never.
        hangs_after: calls, after which none is answered; 0: never.
        seed: of all that is random.
    """

    distribution: str = "constant"
    mean_ms: float = 10.0
    sigma: float = 0.5
    draws: int = 10_000
    servers: int = 0
    stall_every_s: float = 0.0
    stall_s: float = 0.0
    refuse_share: float = 0.0
    wrong_share: float = 0.0
    dies_after: int = 0
    hangs_after: int = 0
    seed: int = 1


def known_of(settings: Mapping[str, str]) -> Known:
    """What settings say; UsageError ARGUMENT for one that there isn't, or isn't a number."""
    kinds = {name: type(value) for name, value in asdict(Known()).items()}
    values: dict[str, Any] = {}
    for name, text in settings.items():
        if name not in kinds:
            raise UsageError("ARGUMENT", f"no setting {name!r}", hint=f"one of {', '.join(kinds)}")
        try:
            values[name] = kinds[name](text)
        except ValueError:
            raise UsageError("ARGUMENT", f"{name}: {text!r} is no number") from None
    made = Known(**values)
    if made.distribution not in DISTRIBUTIONS:
        raise UsageError(
            "ARGUMENT", f"no distribution {made.distribution!r}", hint=", ".join(DISTRIBUTIONS)
        )
    return made


@dataclass(frozen=True, slots=True)
class Turn:
    """What becomes of one call.

    Attributes:
        begin, end: of its service; seconds. `end` is infinite if it is never answered.
        refused: the reason for which it is; "" if it isn't.
        wrong: whether its answer is.
    """

    begin: float
    end: float
    refused: str = ""
    wrong: bool = False


class Service:
    """The server, by calls that arrive at it one after the other."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._times = _again_and_again(times_s(known))
        self._chance = np.random.default_rng([known.seed, 1])
        self._free_at = [-math.inf] * known.servers
        self._calls = 0

    def arrived(self, now: float) -> Turn:
        """A call arrived at that moment; moments must not decrease."""
        known = self._known
        self._calls += 1
        if known.dies_after and self._calls > known.dies_after:
            return Turn(now, now, "UNAVAILABLE")
        if known.hangs_after and self._calls > known.hangs_after:
            return Turn(now, math.inf)
        if self._happens(known.refuse_share):
            return Turn(now, now, "RESOURCE_EXHAUSTED")
        wrong = self._happens(known.wrong_share)
        free_at = heapq.heappop(self._free_at) if self._free_at else now
        begin = self._after_stall(max(now, free_at))
        end = begin + next(self._times)
        if known.servers:
            heapq.heappush(self._free_at, end)
        return Turn(begin, end, wrong=wrong)

    def _happens(self, share: float) -> bool:
        return share > 0 and self._chance.random() < share

    def _after_stall(self, moment: float) -> float:
        every, stall = self._known.stall_every_s, self._known.stall_s
        if not every or (into := moment % every) >= stall:
            return moment
        return moment - into + stall


def times_s(known: Known) -> list[float]:
    """Its service times, in the order of their quantiles; seconds."""
    return [quantile_s(known, (number + 0.5) / known.draws) for number in range(known.draws)]


def quantile_s(known: Known, share: float) -> float:
    """Of the distribution: within how many seconds so many services are done."""
    mean_s = known.mean_ms / 1000
    if known.distribution == "exponential":
        return -mean_s * math.log1p(-share)
    if known.distribution == "lognormal":
        return mean_s * math.exp(known.sigma * NormalDist().inv_cdf(share))
    return mean_s


def _again_and_again(times: list[float]) -> Iterator[float]:
    rng = np.random.default_rng([0, len(times)])
    while True:
        yield from rng.permutation(np.array(times)).tolist()
