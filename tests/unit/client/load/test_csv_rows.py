"""Rows have perf_analyzer's columns, in microseconds."""

from __future__ import annotations

import pytest

from eais_client.load.brain.run_figures import figures
from eais_client.load.report.csv_rows import headings, rows
from eais_client.load.result import LoadTestResult
from tests.unit.client.load.records import Bad, Made, record

OF_PERF_ANALYZER = [
    "Inferences/Second",
    "Client Send",
    "Network+Server Send/Recv",
    "Server Queue",
    "Server Compute Input",
    "Server Compute Infer",
    "Server Compute Output",
    "Client Recv",
    "p50 latency",
    "p90 latency",
    "p95 latency",
    "p99 latency",
]


def result(*made: Made) -> LoadTestResult:
    return LoadTestResult("0", "now", "c", [figures(record(each)) for each in made])


@pytest.mark.parametrize(
    ("made", "first"),
    [
        ([Made(closed=8)], "Concurrency"),
        ([Made(), Made(per_s=20)], "Request Rate"),
        ([Made(), Made(closed=8)], "Load"),
    ],
)
def test_the_first_columns_are_perf_analyzers(made: list[Made], first: str) -> None:
    found = headings(result(*made))
    assert found[: len(OF_PERF_ANALYZER) + 1] == [first, *OF_PERF_ANALYZER]
    assert all(len(row) == len(found) for row in rows(result(*made)))


def test_times_are_whole_microseconds() -> None:
    test = result(Made(closed=8))
    (cells,) = [dict(zip(headings(test), row, strict=True)) for row in rows(test)]
    run = test.runs[0]
    assert cells["Concurrency"] == "8"
    assert run.all.p99_ms is not None
    assert int(cells["p99 latency"]) == round(run.all.p99_ms * 1000)
    compute = sum(run.split[part]["mean_ms"] or 0 for part in ("batch", "compute"))
    assert int(cells["Server Compute Infer"]) == round(compute * 1000)
    assert cells["Server Compute Input"] == "0"
    assert cells["Schedule Kept"] == "yes"


def test_what_is_not_known_is_empty_and_what_failed_has_no_percentile() -> None:
    test = result(Made(parts=False, bad=Bad(failed=0.05)))
    (cells,) = [dict(zip(headings(test), row, strict=True)) for row in rows(test)]
    assert cells["Client Send"] == cells["Server Queue"] == cells["p99 latency"] == ""
    assert int(cells["Errors"]) == test.runs[0].all.errors > 0
    assert cells["Request Rate"] == "200"
