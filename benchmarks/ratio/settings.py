"""The settings over which others' autoscalers are tried."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from eais_pool.sim.autoscalers import HorizontalPodAutoscaler, KnativePodAutoscaler, RayServe
from eais_pool.sim.queue_model import Scales

SETTINGS: Final[dict[str, Callable[[], Scales]]] = {
    **{
        f"hpa_{target:g}": partial(HorizontalPodAutoscaler, target)
        for target in (0.5, 0.6, 0.7, 0.8, 0.9)
    },
    **{
        f"kpa_{part:g}": partial(KnativePodAutoscaler, part)
        for part in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    },
    **{
        f"ray_{target:g}_{down_s}": partial(RayServe, target, down_s)
        for target in (1.0, 1.5, 2.0)
        for down_s in (60, 600)
    },
}
