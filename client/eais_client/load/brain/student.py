"""How far a mean or a median of few values may be off. (Brain)"""

from __future__ import annotations

from collections.abc import Sequence
from math import atan, comb, cos, exp, fsum, log, pi, sin, sqrt
from statistics import NormalDist, fmean, stdev

_MANY = 200


def t_quantile(share: float, degrees: int) -> float:
    """Where Student's t of so many degrees of freedom has `share` (0.5 to 1) of its mass below.

    The inverse, by bisection, of the finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """
    if degrees > _MANY:
        return NormalDist().inv_cdf(share)
    low, high = 0.0, 1.0
    while _below(high, degrees) < share:
        high *= 2.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle, degrees) < share else (low, middle)
    return (low + high) / 2


def _below(t: float, degrees: int) -> float:
    angle = atan(t / sqrt(degrees))
    turn = cos(angle)
    term = turn if degrees % 2 else 1.0
    terms = [term] if degrees > 1 else []
    for step in range(3 if degrees % 2 else 2, degrees - 1, 2):
        term *= turn * turn * (step - 1) / step
        terms.append(term)
    total = sin(angle) * fsum(terms)
    between = 2 / pi * (angle + total) if degrees % 2 else total
    return 0.5 + between / 2


def median_interval(values: Sequence[float], share: float = 0.95) -> tuple[float, float] | None:
    """A range of two of the values with the median within, at least so sure, whatever they are.

    By counting signs: the k-th smallest and the k-th largest, with the greatest k for which
    P(Binomial(n, 1/2) < k) <= (1 - share) / 2 (Thompson 1936). None if even the smallest and the
    largest aren't sure enough: for 0.95 that is below six values.
    """
    ordered, most = sorted(values), (1 - share) / 2 * 2.0 ** len(values)
    rank, below = 0, 1
    while below <= most:
        rank += 1
        below += comb(len(ordered), rank)
    return (ordered[rank - 1], ordered[-rank]) if rank else None


def log_mean_interval(values: Sequence[float], share: float = 0.95) -> tuple[float, float] | None:
    """Where the geometric mean of positive values is, by Student's t on their logarithms.

    It takes them as log-normal. None for fewer than two.
    """
    if len(values) < 2:
        return None
    logs = [log(value) for value in values]
    reach = t_quantile((1 + share) / 2, len(logs) - 1) * stdev(logs) / sqrt(len(logs))
    middle = fmean(logs)
    return exp(middle - reach), exp(middle + reach)
