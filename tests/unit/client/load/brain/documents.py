"""Result documents of load tests that a simulated server answered."""

from __future__ import annotations

from typing import Any

import numpy as np

from eais_client.load.brain.spread import to_text
from eais_client.load.record import INTERVAL_DIGITS, new_histogram
from tests.unit.client.load.brain.queues import sojourns


def run_of(
    drawn: np.random.Generator,
    seconds: int = 40,
    shift: float = 1.0,
    fails: float = 0.0,
    rate: float = 200.0,
    round_: int = 1,
) -> dict[str, Any]:
    """A round at a queue whose services take 3 ms on average, and the way there about 0.5 ms."""
    at, there = sojourns(drawn, rate, seconds + 2, lambda with_, n: with_.gamma(4, 0.00075, n))
    took_us = (there * 1e6 + drawn.lognormal(0, 0.3, len(at)) * 500) * shift
    failed = drawn.random(len(at)) < fails
    series = []
    for second in range(seconds):
        due = (at >= second + 2) & (at < second + 3)
        histogram = new_histogram(INTERVAL_DIGITS)
        for each in took_us[due & ~failed]:
            histogram.record_value(int(each))
        series.append(
            {
                "second": second,
                "asked": int(due.sum()),
                "done": int((due & ~failed).sum()),
                "failed": int((due & failed).sum()),
                "wrong": 0,
                "unanswered": 0,
                "histogram": to_text(histogram),
                "client_cores": 0.2 + 0.02 * drawn.random(),
                "server_cores": 0.6 * shift + 0.02 * drawn.random(),
                "client_rss_mb": 80.0,
                "server_rss_mb": None,
            }
        )
    return {
        "target": "ei-7f3a",
        "phase": f"{rate:g}/s",
        "round": round_,
        "load": {
            "kind": "open",
            "spacing": "poisson",
            "seconds": seconds,
            "warm_s": 2.0,
            "stretches": [{"seconds": seconds + 2, "from_per_s": rate, "to_per_s": rate}],
        },
        "schedule": {"kept": True},
        "series": series,
        "interrupted": False,
    }


def document(seed: int, rounds: int = 1, **asked: Any) -> dict[str, Any]:
    """What `run_of` shows, so many times."""
    drawn = np.random.default_rng(seed)
    return {
        "eais": "0.1.0",
        "machine": {"cores": 2},
        "settings": {"driver": "threads", "timeout_s": 30.0, "max_in_flight": 256, "slo_ms": 20},
        "models": [
            {
                "name": "resnet50",
                "sha256": "ab" * 32,
                "weight": 1,
                "inputs": [{"name": "x", "type": "float32", "shape": [1, 3, 224, 224]}],
            }
        ],
        "targets": [{"name": "ei-7f3a", "kind": "instance", "about": {"type": "cpu.1"}}],
        "runs": [run_of(drawn, round_=number + 1, **asked) for number in range(rounds)],
    }
