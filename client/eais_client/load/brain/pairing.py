"""Several targets side by side: in which order they are measured, how they differ. (Brain)

Machines change while a test runs: other work comes and goes, clocks and caches warm up. So targets
are measured in rounds, each in every round, in an order that changes, and what is compared is the
ratio within a round, which met the same machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Final

from eais_client.load.brain.student import log_mean_interval, median_interval

FIGURES: Final = ("mean_ms", "p50_ms", "p90_ms", "p99_ms", "p99_9_ms", "done_per_s")
"""Of which `ratios` are given."""

_LEAST_ROUNDS = 3


def order(targets: int, round_: int) -> tuple[int, ...]:
    """In which order so many targets are measured in a round, from 0 on.

    A Williams square (1949): over as many rounds as there are targets, twice as many if they are
    odd in number, each is at each place equally often, and follows each other one equally often.
    Two alternate.
    """
    first = [(step + 1) // 2 if step % 2 else -(step // 2) for step in range(targets)]
    turn = [(place + round_) % targets for place in first]
    return tuple(reversed(turn) if targets % 2 and round_ // targets % 2 else turn)


def ratios(
    runs: Iterable[Mapping[str, Any]], figures: Sequence[str] = FIGURES, confidence: float = 0.95
) -> list[dict[str, Any]]:
    """Each target's figures ÷ the first one's, of the same phase and round, over all rounds.

    `runs` are those of a result document. Each entry: target, against, phase, figure, ratio (the
    median over the rounds), low and high (None if there are too few rounds), rounds, and
    `method`, by which the interval was found: "sign" from six rounds on, which supposes nothing;
    "t", Student's of the logarithms, from three on. A round in which either has no such figure,
    as when too much failed, is left out, and counted as `failed`.
    """
    table: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = {}
    for run in runs:
        rounds = table.setdefault((str(run["phase"]), str(run["target"])), {})
        rounds[int(run.get("round", 0))] = run
    firsts: dict[str, str] = {}
    for phase, target in table:
        firsts.setdefault(phase, target)
    return [
        entry
        for (phase, target), rounds in table.items()
        if target != firsts[phase]
        for figure in figures
        for entry in _ratio(
            {"target": target, "against": firsts[phase], "phase": phase, "figure": figure},
            rounds,
            table[phase, firsts[phase]],
            confidence,
        )
    ]


def _ratio(
    about: dict[str, Any],
    rounds: Mapping[int, Mapping[str, Any]],
    against: Mapping[int, Mapping[str, Any]],
    confidence: float,
) -> list[dict[str, Any]]:
    both = sorted(rounds.keys() & against.keys())
    pairs = [
        (rounds[each].get(about["figure"]), against[each].get(about["figure"])) for each in both
    ]
    found = [own / other for own, other in pairs if own and other]
    if not both:
        return []
    low, high, method = _interval(found, confidence)
    return [
        about
        | {"ratio": median(found) if found else None, "low": low, "high": high}
        | {"rounds": len(found), "failed": len(both) - len(found), "method": method}
    ]


def _interval(
    found: Sequence[float], confidence: float
) -> tuple[float | None, float | None, str | None]:
    if signs := median_interval(found, confidence):
        return *signs, "sign"
    if len(found) >= _LEAST_ROUNDS and (means := log_mean_interval(found, confidence)):
        return *means, "t"
    return None, None, None
