"""`--type auto`: the cheapest type that meets the SLO, and why not the others. (Brain)

Of the candidates that may serve at all (the tolerance admits their precision, they are within
the price cap, attach soon enough, have room and can run the model) the one of least cost is
chosen that is expected to meet the SLO. If none is, best effort, said to be that: the one of
least p99, or, where calls come faster than any can answer, of most throughput.

What has no profile is never chosen before what is known to meet the SLO, as nothing is known of
it; it is asked to be measured (`Choice.measure`) as long as it might be chosen then. Where
nothing has one, the cheapest is taken until it has, said to be provisional.

Of equal cost the surer is chosen, then that of less p99, then by kind, device model, share,
runtime and precision, in the order of their names. So a choice follows from its inputs alone,
and one that is not chosen is not chosen at a higher price either.

A candidate is one share of one device, and all calls are of one model, one item each. Shares
double, from an eighth: neighbouring eighths differ by less than a few noisy batches can tell,
and what is left of a device is of use to others. Who knows better names the type.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from eais.device_type import EIGHTH_MILLI, DeviceKind, type_text
from eais.tolerance import Precision
from eais_pool.policy import Refusal
from eais_pool.policy.curves import Curve
from eais_pool.policy.forecasting import Demand, Forecast, forecast
from eais_pool.policy.prices import Prices
from eais_pool.policy.profiles import Profile

_HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Runner:
    """What runs models on devices of one model: what a curve is of, but for the model."""

    kind: DeviceKind
    device_model: str
    runtime: str
    precision: Precision

    @classmethod
    def of(cls, profile: Profile) -> Runner:
        """The one that a profile is of."""
        key = profile.key
        return cls(profile.kind, key.device_model, key.runtime, key.precision)


class Image(StrEnum):
    """Of a model, on a device where models need one."""

    NONE = "none"
    """It needs none, or nothing is known of it."""
    LOADED = "loaded"
    TO_LOAD = "to-load"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A share that could be chosen.

    Attributes:
        setup_s: until it can serve, such as an FPGA's image takes to load; paid for, too.
        image: what is known of the model's image there.
        room: some device has such a share free now.
        simulated: the device is: of equal cost, real ones go first.
    """

    runner: Runner
    share_milli: int
    setup_s: float = 0.0
    room: bool = True
    simulated: bool = False
    image: Image = Image.NONE

    @property
    def type(self) -> str:
        """Its instance type, as people write it."""
        return type_text(self.runner.kind, self.share_milli)


class Verdict(StrEnum):
    """What became of a candidate."""

    CHOSEN = "chosen"
    DEARER = "dearer"
    TOO_SLOW = "too-slow"
    OVERLOADED = "overloaded"
    ABOVE_CAP = "above-cap"
    NOT_TOLERATED = "not-tolerated"
    TOO_LATE = "too-late"
    NO_ROOM = "no-room"
    CANNOT_RUN = "cannot-run"
    UNMEASURED = "unmeasured"


@dataclass(frozen=True, slots=True)
class Considered:
    """A candidate, what it costs and would do, and why it was taken or not, in words."""

    candidate: Candidate
    cost_per_h: float
    forecast: Forecast | None
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was decided, with all that was considered, in the order of cost.

    Attributes:
        chosen: None if nothing may serve.
        best_effort: it isn't expected to meet the SLO; nothing is.
        provisional: nothing is known of it, nor of anything else.
        measure: what might be chosen instead, were it measured.
        refusal: if nothing is chosen.
    """

    chosen: Considered | None
    why: str
    considered: tuple[Considered, ...]
    best_effort: bool = False
    provisional: bool = False
    measure: tuple[Runner, ...] = ()
    refusal: Refusal | None = None


def shares_weighed(granularity_milli: int, share_limit_milli: int) -> list[int]:
    """The shares of one device that are candidates: an eighth, and what doubles it."""
    doubled = itertools.takewhile(
        lambda milli: milli <= share_limit_milli, (EIGHTH_MILLI << n for n in itertools.count())
    )
    return [milli for milli in doubled if milli % granularity_milli == 0]


def cost_of(candidate: Candidate, prices: Prices, demand: Demand) -> float:
    """What an hour of it costs: until it serves, too, spread over the hours of its use."""
    rent = prices.of(candidate.runner.kind, candidate.share_milli)
    return rent * (1 + candidate.setup_s / _HOUR_S / demand.hold_h)


def choose(
    demand: Demand,
    candidates: Iterable[Candidate],
    curves: Mapping[Runner, Curve],
    prices: Prices,
) -> Choice:
    """Decide; `curves` are those of the model, for each runner that has profiles."""
    considered = sorted(
        (_consider(demand, each, curves, prices) for each in candidates), key=_order
    )
    found, why, flaw = _pick(demand, considered)
    if found is None:
        refused = tuple(replace(each, why=_reason(demand, each)) for each in considered)
        return Choice(None, why, refused, refusal=_refusal(refused, why))
    judged = tuple(_judge(demand, each, found) for each in considered)
    chosen = next(each for each in judged if each.verdict is Verdict.CHOSEN)
    return Choice(
        chosen,
        f"{why}{_next_dearest(chosen, judged)}",
        judged,
        best_effort=flaw == "best effort",
        provisional=flaw == "provisional",
        measure=_to_measure(judged, chosen, flaw),
    )


def may_serve(demand: Demand, candidate: Candidate, cost_per_h: float) -> Verdict | None:
    """What keeps a candidate from serving, whatever its speed; None: nothing."""
    if not demand.tolerance.admits(candidate.runner.precision):
        return Verdict.NOT_TOLERATED
    if demand.price_cap_per_h is not None and cost_per_h > demand.price_cap_per_h:
        return Verdict.ABOVE_CAP
    if candidate.image is Image.MISSING:
        return Verdict.CANNOT_RUN
    if demand.ready_within_s is not None and candidate.setup_s > demand.ready_within_s:
        return Verdict.TOO_LATE
    return None if candidate.room else Verdict.NO_ROOM


def _consider(
    demand: Demand, candidate: Candidate, curves: Mapping[Runner, Curve], prices: Prices
) -> Considered:
    cost = cost_of(candidate, prices, demand)
    verdict, curve = may_serve(demand, candidate, cost), curves.get(candidate.runner)
    found = None
    if verdict is None and curve is not None:
        found = forecast(curve, candidate.share_milli, demand)
        if found is None:
            verdict = Verdict.CANNOT_RUN
        elif not curve.measured:
            verdict, found = Verdict.UNMEASURED, None
    elif verdict is None:
        verdict = Verdict.UNMEASURED
    return Considered(candidate, cost, found, verdict or Verdict.DEARER)


def _order(each: Considered) -> tuple[object, ...]:
    """By cost; of equal ones see the module."""
    runner, known = each.candidate.runner, each.forecast
    return (
        each.cost_per_h,
        each.candidate.simulated,
        -known.surety if known else math.inf,
        known.p99_s if known and known.p99_s is not None else math.inf,
        *(runner.kind, runner.device_model, each.candidate.share_milli),
        *(runner.runtime, runner.precision),
    )


def _pick(demand: Demand, considered: Sequence[Considered]) -> tuple[Considered | None, str, str]:
    """The one to choose, why, and what is to be said against it."""
    able = [each for each in considered if each.forecast is not None]
    wanted = _wanted(demand)
    for each in able:
        if each.forecast is not None and each.forecast.surety >= 0:
            text = f"{each.candidate.type} {wanted} at {_money(each.cost_per_h)}"
            return each, text + _and_ready(each), ""
    if able:
        best = min(able, key=_slowness)
        return best, _best_effort(demand, best, considered), "best effort"
    unknown = [each for each in considered if each.verdict is Verdict.UNMEASURED]
    if unknown:
        text = f"{unknown[0].candidate.type} at {_money(unknown[0].cost_per_h)}, the cheapest"
        text = f"{text}, until something is measured"
        return unknown[0], text + _and_ready(unknown[0]), "provisional"
    return None, _nobody(demand, considered), ""


def _slowness(each: Considered) -> tuple[float, float]:
    known = each.forecast
    if known is None or known.p99_s is None:
        return math.inf, -known.throughput_per_s if known else 0.0
    return known.p99_s, 0.0


def _judge(demand: Demand, each: Considered, chosen: Considered) -> Considered:
    """With its verdict, and why."""
    known, cost = each.forecast, _money(each.cost_per_h)
    if each is chosen:
        return replace(each, verdict=Verdict.CHOSEN, why=f"{_does(known)} at {cost}")
    if known is None:
        return replace(each, why=_reason(demand, each))
    if known.p99_s is None:
        verdict, why = Verdict.OVERLOADED, f"answers {known.throughput_per_s:.3g}/s at most"
    elif known.surety < 0:
        verdict, why = Verdict.TOO_SLOW, _does(known)
    else:
        verdict, why = Verdict.DEARER, f"would cost {cost}"
    return replace(each, verdict=verdict, why=why)


def _reason(demand: Demand, each: Considered) -> str:
    candidate, cost = each.candidate, _money(each.cost_per_h)
    return {
        Verdict.NOT_TOLERATED: (
            f"computes in {candidate.runner.precision}, the tolerance is {demand.tolerance}"
        ),
        Verdict.ABOVE_CAP: f"would cost {cost}, the cap is {_money(demand.price_cap_per_h or 0)}",
        Verdict.TOO_LATE: (
            f"takes {candidate.setup_s:g} s to attach, asked for"
            f" within {demand.ready_within_s or 0:g} s"
        ),
        Verdict.NO_ROOM: "no device has such a share free now",
        Verdict.CANNOT_RUN: (
            "has no image of this model"
            if candidate.image is Image.MISSING
            else "not even one item ran there"
        ),
        Verdict.UNMEASURED: f"has no profile of this model yet; would cost {cost}",
    }[each.verdict]


def _to_measure(judged: Iterable[Considered], chosen: Considered, flaw: str) -> tuple[Runner, ...]:
    """Runners without a profile of which some candidate would be chosen, were it fast enough."""
    unknown = [
        each.candidate.runner
        for each in judged
        if each.forecast is None
        and (each.verdict is Verdict.UNMEASURED or each is chosen)
        and (flaw or each.cost_per_h <= chosen.cost_per_h)
    ]
    return tuple(dict.fromkeys(unknown))


def _next_dearest(chosen: Considered, judged: Iterable[Considered]) -> str:
    """The cheapest alternative of another kind that would do, or nothing."""
    for each in judged:
        if (
            each.verdict is Verdict.DEARER
            and each.candidate.runner.kind is not chosen.candidate.runner.kind
        ):
            return f"; {each.candidate.type} {each.why}"
    return ""


def _best_effort(demand: Demand, best: Considered, considered: Iterable[Considered]) -> str:
    text = f"best effort: nothing {_wanted(demand)}"
    if any(each.verdict is Verdict.ABOVE_CAP for each in considered):
        text += f" within {_money(demand.price_cap_per_h or 0)}"
    nearest = f"{best.candidate.type} comes nearest: {_does(best.forecast)}"
    return f"{text}; {nearest}{_and_ready(best)}"


def _refusal(considered: Sequence[Considered], why: str) -> Refusal:
    """Worth asking again if a device lacks room alone, or there is none yet."""
    later = not considered or any(each.verdict is Verdict.NO_ROOM for each in considered)
    return Refusal("NO_DEVICE" if later else "ARGUMENT", why)


def _nobody(demand: Demand, considered: Sequence[Considered]) -> str:
    if not considered:
        return "no back-end of this pool has a device"
    return f"nothing may serve: {considered[0].candidate.type} {_reason(demand, considered[0])}"


def _wanted(demand: Demand) -> str:
    rate = f" at {demand.rate_per_s:.3g}/s" if demand.rate_per_s else ""
    if demand.slo_p99_s is None:
        return f"keeps up{rate}"
    return f"meets {demand.slo_p99_s * 1000:.3g} ms{rate}"


def _does(known: Forecast | None) -> str:
    if known is None:
        return "nothing is known of it"
    if known.p99_s is None:
        return f"{known.throughput_per_s:.3g}/s at most"
    return f"p99 {known.p99_s * 1000:.3g} ms"


def _and_ready(each: Considered) -> str:
    text = ready_text(each.candidate)
    return f", {text}" if text else ""


def ready_text(candidate: Candidate) -> str:
    """When it can serve, in words; "" if nothing but starting a worker is to be waited for."""
    loads = "the model's image is loaded there" if candidate.image is Image.LOADED else ""
    if not candidate.setup_s:
        return loads
    return f"ready in {candidate.setup_s:g} s" + (f" ({loads})" if loads else "")


def _money(amount: float) -> str:
    return f"{amount:.3g}/h"
