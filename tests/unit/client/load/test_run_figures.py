"""A run's figures: of all models, of each second, and of both sides."""

from __future__ import annotations

import json

import numpy as np
import pytest

from eais_client.load.brain.plan import Closed, Open, Phase
from eais_client.load.brain.run_figures import RunFigures, figures, load_data
from eais_client.load.brain.spread import of_text, spread
from eais_client.load.record import PARTS, PhaseRecord, Usage
from tests.unit.client.load.records import Bad, Made, record, tally


def test_each_second_says_what_came_and_what_was_due() -> None:
    found = figures(record(Made(bad=Bad(failed=0.1))), 0.05)
    assert [each["second"] for each in found.series] == list(range(10))
    for name, total in (("asked", found.all.requests), ("failed", found.all.errors)):
        assert sum(each[name] for each in found.series) == total
    done = sum(each["done"] for each in found.series)
    assert found.all.done_per_s == pytest.approx(done / 10)
    assert {each["p99_ms"] for each in found.series} == {None}
    assert all(each["server_cores"] and each["client_rss_mb"] for each in found.series)


def test_the_histogram_holds_all_right_answers() -> None:
    found = figures(record(Made(models={"a": 0.5, "b": 0.5})))
    read = of_text(found.histogram)
    assert read is not None
    assert spread([read]).total == found.all.answered


def test_several_models_have_figures_of_their_own() -> None:
    found = figures(record(Made(models={"a": 0.75, "b": 0.25})))
    assert {name: each.requests for name, each in found.models.items()} == {"a": 1500, "b": 500}
    assert found.all.requests == 2000
    assert figures(record(Made())).models == {}


def test_the_split_of_requests_adds_up_to_their_latency() -> None:
    found = figures(record(Made()))
    assert found.split_from == "requests"
    assert list(found.split) == ["wait", *PARTS]
    whole = sum(each["mean_ms"] or 0 for each in found.split.values())
    assert found.all.mean_ms == pytest.approx(whole, rel=0.05)
    assert found.all.batch_size == 2


def test_a_servers_own_account_leaves_the_rest_to_the_wire() -> None:
    of_server = record(Made(parts=False))
    of_server.server_parts = {"queue": 0.002, "compute": 0.007}
    found = figures(of_server)
    assert found.split_from == "server"
    rest = found.split["wire"]["mean_ms"]
    mean_us = spread([each.service for each in of_server.models.values()]).mean()
    assert rest is not None
    assert mean_us is not None
    assert rest == pytest.approx(mean_us / 1e3 - 9, rel=1e-3)
    assert found.split["queue"] == {"mean_ms": 2, "p50_ms": None, "p99_ms": None}


def test_a_target_that_tells_nothing_has_no_split() -> None:
    found = figures(record(Made(parts=False)))
    assert (found.split, found.split_from) == ({}, "")


def test_usage_is_of_the_seconds_measured() -> None:
    mine = PhaseRecord("t", Phase("p", Closed(1), 2.0), 0.0, 2.0)
    mine.usage = [Usage(n, cores, rss) for n, cores, rss in ((-1, 9, 9), (0, 1, 5), (1, 2, 7))]
    mine.usage.append(Usage(2, 9, 9))
    mine.server_unseen = "its workers are on host b"
    found = figures(mine)
    assert found.client == {"cores": 1.5, "cores_max": 2, "rss_mb": 7}
    assert found.server == {"why_not": "its workers are on host b"}


def test_a_run_that_nobody_looked_at_says_so() -> None:
    found = figures(PhaseRecord("t", Phase("p", Closed(1), 2.0), 0.0))
    assert "over before" in found.client["why_not"]
    assert found.all.requests == 0


def test_the_schedule_has_its_verdict_and_how_late_it_was() -> None:
    mine = record(Made())
    mine.lag.record_value(5000)
    found = figures(mine, kept=False, said="3 % were sent late")
    assert not found.kept
    assert found.schedule["said"] == "3 % were sent late"
    assert found.schedule["lag_max_ms"] == pytest.approx(5, rel=1e-3)
    assert found.schedule["blocked_p99_ms"] == pytest.approx(0.001)


def test_what_was_asked_is_said() -> None:
    assert figures(record(Made(closed=8))).load == {
        "kind": "closed", "callers": 8, "seconds": 10, "warm_s": 1.0,
    }  # fmt: skip
    asked = figures(record(Made(per_s=20))).load
    assert (asked["kind"], asked["spacing"], asked["burst"]) == ("open", "poisson", 1.0)
    assert asked["stretches"] == [{"seconds": 11.0, "from_per_s": 20.0, "to_per_s": 20.0}]


def test_a_long_trace_is_told_by_its_digest() -> None:
    def asked(count: int, shift: float = 0.0) -> object:
        moments = tuple(np.arange(count) + shift)
        phase = Phase("trace", Open(moments=moments), 9.0)
        return load_data(phase)["moments"]

    assert asked(3) == [0, 1, 2]
    assert asked(2000) == asked(2000) != asked(2000, 0.5)
    assert "sha256" in str(asked(2000))


def test_a_run_is_read_back_from_json() -> None:
    found = figures(record(Made(bad=Bad(wrong=0.02), models={"a": 0.5, "b": 0.5})), 0.02)
    again = RunFigures.of_data(json.loads(json.dumps(found.data(), allow_nan=False)))
    assert again == found
    assert again.data() == found.data()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("target", 3, "target is 3"),
        ("series", {}, "series is {}"),
        ("series", [3], "series holds 3"),
        ("series", [{"second": 0}], "series holds {'second': 0}"),
        ("split", {"wire": 1}, "split.wire is 1"),
        ("requests", None, "requests is None"),
    ],
)
def test_what_is_of_no_use_is_named(key: str, value: object, said: str) -> None:
    data = figures(PhaseRecord("t", Phase("p", Closed(1), 1.0), 0.0)).data()
    with pytest.raises(ValueError, match=said):
        RunFigures.of_data({**data, key: value})


def test_an_empty_tally_counts_nothing() -> None:
    mine = PhaseRecord("t", Phase("p", Closed(1), 1.0), 0.0, 1.0)
    mine.models["m"] = tally(np.zeros(0))
    assert figures(mine).all.p50_ms is None
