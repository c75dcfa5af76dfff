"""CPU and accelerators allotted apart, or in boxes: what is stranded on the DLRM trace.

Each instance of the trace is of one role: CPU nodes (CN) ask vCPU, GPU nodes (HN) one GPU and
some vCPU. It is replayed in order of creation and deletion. *Boxes* have 8 GPUs and a fixed
number of vCPU: as many as the vCPU of an application need, if that is more than its GPUs need
(no fixed ratio is right for all), so the GPUs beyond those asked for are stranded. *Apart*: each
application has the GPUs that it asks for in slices of an eighth, whatever vCPU goes with them,
from one attach delay before it can use them until break-even after.

`stranded_percent` is GPU capacity that was had and not asked for, over all that was had, both
integrated over the month.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eais_pool.policy.ratio.scaling import Economy

BOX_GPUS: Final = 8
BOXES: Final = (96, 192)
_SLICES: Final = 8
_CHURN_S: Final = Economy().attach_s + Economy().change_cost_s
"""What each GPU is paid for in vain: until it serves, and until it is given back."""


@dataclass(frozen=True, slots=True)
class Change:
    """At `second` an application has so much more; negative: less."""

    second: float
    app: str
    cpus: float
    gpus: float


def read(path: Path) -> list[Change]:
    """What comes and goes, in order; what has no creation was there before, no deletion: stays."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    ends = ("creation_time", "deletion_time")
    times = [float(row[name]) for row in rows for name in ends if row[name]]
    begin, end = min(times), max(times)
    changes = []
    for row in rows:
        app, cpus, gpus = row["app_name"], float(row["cpu_request"]), float(row["gpu_request"])
        changes.append(Change(float(row["creation_time"] or begin), app, cpus, gpus))
        changes.append(Change(float(row["deletion_time"] or end), app, -cpus, -gpus))
    return sorted(changes, key=lambda each: each.second)


def stranded(changes: Iterable[Change]) -> dict[str, float]:
    """The figures: `stranded_percent`, and of boxes of each size `stranded_boxes_N_percent`."""
    has = {"": _apart, **{f"boxes_{cpus}_": _in_boxes(cpus) for cpus in BOXES}}
    asked: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    had: dict[str, dict[str, float]] = {name: defaultdict(float) for name in has}
    total = dict.fromkeys(has, 0.0)
    needed = gpus = last = 0.0
    now = dict.fromkeys(has, 0.0)
    for change in changes:
        lasted, last = change.second - last, change.second
        needed += lasted * gpus
        for name, held in now.items():
            total[name] += lasted * held
        gpus += change.gpus
        total[""] += max(change.gpus, 0.0) * _CHURN_S
        before = asked[change.app]
        asked[change.app] = (before[0] + change.cpus, before[1] + change.gpus)
        for name, rule in has.items():
            holds = rule(*asked[change.app])
            now[name] += holds - had[name][change.app]
            had[name][change.app] = holds
    return {f"stranded_{name}percent": round(100 * (1 - needed / total[name]), 3) for name in has}


def _apart(cpus: float, gpus: float) -> float:
    """GPUs, in whole slices, whatever CPU goes with them."""
    return math.ceil(gpus * _SLICES - 1e-9) / _SLICES


def _in_boxes(cpus_each: int) -> Callable[[float, float], float]:
    def rule(cpus: float, gpus: float) -> float:
        boxes = max(math.ceil(gpus / BOX_GPUS - 1e-9), math.ceil(cpus / cpus_each - 1e-9))
        return float(BOX_GPUS * boxes)

    return rule
