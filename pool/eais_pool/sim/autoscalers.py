"""What others' autoscalers decide, each second, from the same that our controller sees. (Brain)

Each is a class of which an instance is a policy of `queue_model`; sources are in its docstring.
Settings that have a load or utilisation in them are tried over a range of it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from eais_pool.sim.queue_model import Scales

UNIT_PER_S: Final = 10.0


class HorizontalPodAutoscaler:
    """Kubernetes' HPA, as KEDA drives it, too: by utilisation, every 15 s.

    desired = ⌈units · utilisation / target⌉, nothing within 10 % of the target; at most twice as
    many, or four more, in 15 s; down to the most that was desired in the last 300 s. Kubernetes,
    "Horizontal Pod Autoscaling": algorithm details, and the default behaviour. One unit stays, as
    KEDA's cool-down from one to none is 300 s.
    """

    def __init__(self, target: float, unit_per_s: float = UNIT_PER_S) -> None:
        self._target, self._unit = target, unit_per_s
        self._second = 0
        self._window: deque[float] = deque(maxlen=15)
        self._desired: deque[int] = deque(maxlen=20)

    def __call__(self, arrived: float, waiting: float, ready: int, requested: int) -> int:
        """What to ask for."""
        self._second += 1
        self._window.append(arrived)
        if self._second % 15:
            return requested or 1
        rate = sum(self._window) / len(self._window)
        ratio = rate / self._unit / max(ready, 1) / self._target
        desired = max(1, requested if abs(ratio - 1) <= 0.1 else math.ceil(max(ready, 1) * ratio))
        self._desired.append(desired)
        if desired > requested:
            return min(desired, max(2 * requested, requested + 4))
        return min(requested, max(self._desired))


class KnativePodAutoscaler:
    """Knative's KPA, by calls a second: a stable window of 60 s, a panic window of 6 s.

    Panic begins when the 6 s want twice what is ready, ends after 60 s without; in panic nothing
    is given back. Every 2 s. Knative, "Additional autoscaling configuration" and "Autoscaler".
    """

    def __init__(self, utilisation: float, unit_per_s: float = UNIT_PER_S) -> None:
        self._per_unit = utilisation * unit_per_s
        self._stable: deque[float] = deque(maxlen=60)
        self._second = 0
        self._calm_at = -1

    def __call__(self, arrived: float, waiting: float, ready: int, requested: int) -> int:
        """What to ask for."""
        self._second += 1
        self._stable.append(arrived)
        if self._second % 2:
            return requested
        panic = list(self._stable)[-6:]
        stable = math.ceil(sum(self._stable) / len(self._stable) / self._per_unit)
        burst = math.ceil(sum(panic) / len(panic) / self._per_unit)
        if burst >= 2 * max(ready, 1):
            self._calm_at = self._second + 60
        if self._second < self._calm_at:
            return max(requested, burst, stable)
        return stable


class RayServe:
    """Ray Serve's autoscaler: calls in progress against what each replica should have.

    desired = ⌈units · (ongoing / (target · units))⌉, over 30 s, acted on after 30 s of wanting
    more, or 600 s of wanting less. Ray Serve, "Advanced autoscaling". What is in progress is what
    waits and, by Little's law, what is being served: each unit serves two calls at a time.
    """

    def __init__(self, target: float, down_s: int = 600, unit_per_s: float = UNIT_PER_S) -> None:
        self._target, self._down_s, self._unit = target, down_s, unit_per_s
        self._ongoing: deque[float] = deque(maxlen=30)
        self._more = self._less = 0

    def __call__(self, arrived: float, waiting: float, ready: int, requested: int) -> int:
        """What to ask for."""
        busy = min(ready * self._unit, arrived) / self._unit
        self._ongoing.append(2 * busy + waiting)
        ongoing = sum(self._ongoing) / len(self._ongoing)
        desired = max(1, math.ceil(ongoing / self._target))
        self._more = self._more + 1 if desired > requested else 0
        self._less = self._less + 1 if desired < requested else 0
        if self._more >= 30 or self._less >= self._down_s or not requested:
            self._more = self._less = 0
            return desired
        return requested


def fixed(units: int) -> Scales:
    """Always so many."""
    return lambda arrived, waiting, ready, requested: units
