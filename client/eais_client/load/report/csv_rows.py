"""Runs as rows for a spreadsheet, with the columns that perf_analyzer writes (`-f`), in its units.

The times are means of all requests, in microseconds; latencies are percentiles, and count from
when a request was due (perf_analyzer's: from when it was sent). A cell is empty where the target
doesn't tell, or, of a percentile, where a request without a right answer is at its rank.

| column | what stands in it |
|---|---|
| Concurrency, or Request Rate | callers of a closed loop; requests a second asked of an open one |
| Inferences/Second | `done_per_s` |
| Client Send | `encode` + `line`: making a message of the inputs, waiting for a worker with room |
| Network+Server Send/Recv | `wire` |
| Server Queue | `queue` |
| Server Compute Input | 0: copying inputs is part of `wire` or `compute` |
| Server Compute Infer | `batch` + `compute`, the whole run, as a server counts it |
| Server Compute Output | 0, as above |
| Client Recv | `decode`, making arrays of the answer |

What perf_analyzer hasn't comes after its columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from eais_client.load.brain.run_figures import RunFigures
from eais_client.load.result import LoadTestResult

_LATENCIES: Final = ("p50_ms", "p90_ms", "p95_ms", "p99_ms")
_MORE: Final = ("p99_9_ms", "p99_99_ms")
_SPLIT: Final[Mapping[str, tuple[str, ...]]] = {
    "Client Send": ("encode", "line"),
    "Network+Server Send/Recv": ("wire",),
    "Server Queue": ("queue",),
    "Server Compute Input": (),
    "Server Compute Infer": ("batch", "compute"),
    "Server Compute Output": (),
    "Client Recv": ("decode",),
}


def headings(result: LoadTestResult) -> list[str]:
    """The first is perf_analyzer's for such a load; with loads of both kinds it is "Load"."""
    kinds = {str(run.load.get("kind")) for run in result.runs}
    first = {"closed": "Concurrency", "open": "Request Rate"}
    return [
        first.get(kinds.pop(), "Load") if len(kinds) == 1 else "Load",
        "Inferences/Second",
        *_SPLIT,
        *(f"{name.removesuffix('_ms')} latency" for name in _LATENCIES),
        *(f"{name.removesuffix('_ms').replace('_', '.')} latency" for name in _MORE),
        "Target",
        "Round",
        "Requests",
        "Errors",
        "Wrong",
        "Unanswered",
        "Goodput/Second",
        "Schedule Kept",
    ]


def rows(result: LoadTestResult) -> list[list[str]]:
    """A row for each run."""
    return [_row(run) for run in result.runs]


def _row(run: RunFigures) -> list[str]:
    all_of = run.all
    return [
        _load(run),
        f"{all_of.done_per_s:g}",
        *(_part(run, parts) for parts in _SPLIT.values()),
        *(_us(getattr(all_of, name)) for name in (*_LATENCIES, *_MORE)),
        run.target,
        str(run.round),
        *(str(each) for each in (all_of.requests, all_of.errors, all_of.wrong, all_of.unanswered)),
        f"{all_of.goodput_per_s:g}",
        "yes" if run.kept else "no",
    ]


def _load(run: RunFigures) -> str:
    if run.load.get("kind") == "closed":
        return str(run.load.get("callers"))
    return f"{run.all.asked_per_s:g}"


def _part(run: RunFigures, parts: tuple[str, ...]) -> str:
    if not run.split:
        return ""
    if not parts:
        return "0"
    told: list[Any] = [run.split[part].get("mean_ms") for part in parts if part in run.split]
    return _us(sum(told)) if told else "0"


def _us(ms: float | None) -> str:
    return "" if ms is None else f"{ms * 1000:.0f}"
