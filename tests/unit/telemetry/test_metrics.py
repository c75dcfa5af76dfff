from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from eais.telemetry import latency
from eais.telemetry import metrics as m
from eais.telemetry.exposition import render


def shown(*readings: m.Reading) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text, _ = render(lambda: readings)
    families = text_string_to_metric_families(text.decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize("metric", m.METRICS, ids=lambda metric: metric.name)
def test_names_say_unit_and_process_as_prometheus_wants_them(metric: m.Metric) -> None:
    assert re.fullmatch(r"eais_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is m.Kind.COUNTER)
    assert metric.name.startswith(f"eais_{metric.of[0]}_") or len(metric.of) == 3
    assert metric.help[0].isupper() or metric.help[0] == "1"
    assert metric.help.endswith(".")
    # Prometheus puts its own `instance` and `job` on each series.
    assert not {"instance", "job"} & set(metric.labels)


def test_no_name_is_given_twice() -> None:
    names = [metric.name for metric in m.METRICS]
    assert len(names) == len(set(names)) > 30


def test_counters_and_gauges_are_shown_with_their_labels() -> None:
    tally = m.Tally()
    for reason in ("OK", "BUSY", "OK"):
        tally.add("Pool", "Attach", reason)
    states = m.by_state(m.INSTANCES, ("BOUND", "IN_USE"), ["IN_USE", "IN_USE"])
    found = shown(*tally.readings(m.RPC), *states)
    labels = (("reason", "OK"), ("service", "Pool"), ("verb", "Attach"))
    assert found["eais_rpc_calls_total", labels] == 2
    assert found["eais_manager_instances", (("state", "BOUND"),)] == 0
    assert found["eais_manager_instances", (("state", "IN_USE"),)] == 2


def test_a_series_ends_with_what_it_is_of() -> None:
    share = m.Reading(m.SHARES, 8, ("h1", "cpu0", "cpu", "false", "FREE"))
    assert any(name == "eais_manager_share_milli" for name, _ in shown(share))
    assert not any(name == "eais_manager_share_milli" for name, _ in shown())


def test_a_histogram_has_bounds_that_double_in_seconds_and_every_call() -> None:
    times = m.Times()
    for seconds in (0.00005, 0.0001, 0.00015, 0.3, 5000.0):
        times.took(seconds)
    found = shown(times.reading(m.CALL_SECONDS))
    bounds = {
        float(labels[0][1]): count
        for (name, labels), count in found.items()
        if name == "eais_worker_call_seconds_bucket"
    }
    finite = sorted(bound for bound in bounds if bound != float("inf"))
    assert finite[0] == 0.0001
    assert all(b / a == pytest.approx(2, rel=1e-3) for a, b in zip(finite, finite[1:]))  # noqa: B905, RUF007
    assert bounds[0.0001] == 2
    assert bounds[0.0002] == 3
    assert bounds[float("inf")] == 5
    assert found["eais_worker_call_seconds_count", ()] == 5
    assert found["eais_worker_call_seconds_sum", ()] == pytest.approx(5000.3003)


def test_a_worker_without_calls_has_a_histogram_too() -> None:
    found = shown(m.Reading(m.CALL_SECONDS, m.Histogram((), 0.0)))
    assert found["eais_worker_call_seconds_count", ()] == 0


def test_openmetrics_is_spoken_to_who_prefers_it() -> None:
    text, content_type = render(lambda: (), "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_a_reading_has_the_labels_of_its_metric() -> None:
    with pytest.raises(ValueError, match="labels"):
        m.Reading(m.RPC, 1, ("Pool",))
    with pytest.raises(TypeError, match="histogram"):
        shown(m.Reading(m.CALL_SECONDS, 1.0))
    with pytest.raises(TypeError, match="histogram"):
        shown(m.Reading(m.LEASES, m.Histogram((1,), 1.0)))


def test_what_a_worker_counts_becomes_prometheus_buckets_without_loss() -> None:
    counts = tuple(range(latency.BUCKETS))
    found = shown(m.Reading(m.CALL_SECONDS, m.Histogram(counts, 1.0)))
    assert found["eais_worker_call_seconds_count", ()] == sum(counts)
