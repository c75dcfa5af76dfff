"""What is said of a case: each target's own figure, and ours ÷ each other's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks.peers.cases import Case
from eais_client.load.brain.pairing import ratios

OURS: Final = ("ours", "ours_ring")
"""An instance by its h2 engine, as over a network, and by the ring of a shared host."""


def case_figures(case: Case, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of the runs of all rounds, as a result document has them.

    `p50_us` or `per_s`: target -> the median over the rounds, None where too much failed;
    `ours_over_NAME` and `ours_ring_over_NAME`: the median of the rounds' ratios; `intervals`: of
    these, 95 %, by sign or Student's t; `checked`: target -> answers that were compared with
    onnxruntime's; and what failed, or was wrong.
    """
    targets = list(dict.fromkeys(str(run["target"]) for run in runs))
    of = {name: [run for run in runs if run["target"] == name] for name in targets}
    unit, factor = ("p50_us", 1e3) if case.figure == "p50_ms" else ("per_s", 1.0)
    found: dict[str, Any] = {
        unit: {name: _middle(each, case.figure, factor) for name, each in of.items()}
    }
    intervals: dict[str, list[float | None]] = {}
    for own in [name for name in OURS if name in of]:
        for other in [name for name in targets if name not in OURS]:
            [ratio] = ratios([*of[other], *of[own]], [case.figure])
            name = f"{own}_over_{other}"
            found[name] = _rounded(ratio["ratio"])
            intervals[name] = [_rounded(ratio["low"]), _rounded(ratio["high"])]
    return {
        **found,
        "intervals": intervals,
        "checked": {name: sum(run["checked"] for run in each) for name, each in of.items()},
        "not_right": {name: bad for name, each in of.items() if (bad := not_right(each))},
    }


def not_right(runs: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Why requests had no right answer, and how many."""
    reasons: dict[str, int] = {}
    for run in runs:
        told = {**run["error_reasons"], "WRONG": run["wrong"], "UNANSWERED": run["unanswered"]}
        for reason, count in told.items():
            if count:
                reasons[reason] = reasons.get(reason, 0) + count
    return reasons


def missed(cases: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What of the cases makes their figures worth nothing: requests without a right answer."""
    return [
        f"{name}: {target}: {count} requests: {reason}"
        for name, case in cases.items()
        for target, reasons in case["not_right"].items()
        for reason, count in reasons.items()
    ]


def _middle(runs: Sequence[Mapping[str, Any]], figure: str, factor: float) -> float | None:
    known = [run[figure] for run in runs if run[figure] is not None]
    return round(median(known) * factor, 1) if len(known) == len(runs) else None


def _rounded(ratio: float | None) -> float | None:
    return None if ratio is None else round(ratio, 3)
