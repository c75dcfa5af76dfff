"""Waiting in a queue with one server of constant speed, M/D/1, in closed form. (Brain)

Requests come as a Poisson process and are served one by one, each for the same time. What a load
generator measures at such a server can be held against these formulas.

The waiting time's distribution is Erlang's (1909), of which Crommelin (1932) gave the sum that
textbooks print; its terms alternate in sign and lose all digits after a few dozen service times.
Here it is Franx's form, "A simple solution for the M/D/c waiting time distribution" (Operations
Research Letters 29, 2001), whose terms are all positive:

    P(W <= t) = sum for j = 0 … k-1 of  e^-u u^j / j! · P(at most k-1-j wait),
    u = rate · (k · service - t),   (k-1) · service <= t < k · service.

How many there are follows from that as many go from n to n+1 as come back, an equation that also
has no minus sign.
"""

from __future__ import annotations

from math import ceil, exp, floor
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

_TERMS = 64
"""Of a Poisson distribution whose mean is below 1: the 40th is below 1e-48."""


def waiting_below(rate_per_s: float, service_s: float, seconds: float) -> float:
    """The share of requests that wait at most so long for their turn.

    Raises `ValueError` unless 0 <= rate_per_s · service_s < 1.
    """
    load = _load(rate_per_s, service_s)
    if seconds < 0:
        return 0.0
    steps = floor(seconds / service_s) + 1
    waiting = np.cumsum(_numbers(load, steps + 1))[1:]  # one is served, the others wait
    early = max(0.0, steps * service_s - seconds)
    weights = _poisson(rate_per_s * early, min(steps, _TERMS))
    return min(1.0, float(weights @ waiting[steps - 1 :: -1][: len(weights)]))


def sojourn_below(rate_per_s: float, service_s: float, seconds: float) -> float:
    """The share of requests whose answer is there within so long: waiting, and the service."""
    return waiting_below(rate_per_s, service_s, seconds - service_s)


def sojourn_quantile(rate_per_s: float, service_s: float, share: float) -> float:
    """The latency, in seconds, that `share` (0 to 1) of the requests don't exceed."""
    load = _load(rate_per_s, service_s)
    if share <= 1 - load:  # who finds nobody doesn't wait
        return service_s
    low, high = service_s, 2 * service_s
    while sojourn_below(rate_per_s, service_s, high) < share:
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        late = sojourn_below(rate_per_s, service_s, middle) < share
        low, high = (middle, high) if late else (low, middle)
    return high


def capacity(service_s: float, slo_s: float, share: float) -> float:
    """The highest rate, requests a second, at which `share` of them are answered within `slo_s`.

    0 if the service alone takes longer.
    """
    if slo_s < service_s:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(40):
        load = (low + high) / 2
        met = sojourn_below(load / service_s, service_s, slo_s) >= share
        low, high = (load, high) if met else (low, load)
    return low / service_s


def _load(rate_per_s: float, service_s: float) -> float:
    load = rate_per_s * service_s
    if not (0 <= load < 1 and service_s > 0):
        raise ValueError(f"{rate_per_s:g}/s of {service_s:g} s each is no load from 0 to below 1")
    return load


def _poisson(mean: float, terms: int) -> Floats:
    steps = np.full(terms, mean, dtype=np.float64)
    steps[0] = exp(-mean)
    steps[1:] /= np.arange(1, terms)
    return np.cumprod(steps, dtype=np.float64)


def _numbers(load: float, most: int) -> Floats:
    """P(so many are there), 0 to `most`: those who wait, and the one who is served."""
    arriving = _poisson(load, _TERMS)
    more = np.append(np.cumsum(arriving[::-1])[::-1][1:], 0.0)  # P(more than k arrive), k = 0, 1, …
    there = np.zeros(most + 1)
    there[0] = 1 - load
    for number in range(most):
        first = max(1, number + 1 - ceil(_TERMS / 2))
        up = more[number + 1 - np.arange(first, number + 1)] @ there[first : number + 1]
        if number < _TERMS:
            up += there[0] * more[number]
        there[number + 1] = up / arriving[0]
    return there
