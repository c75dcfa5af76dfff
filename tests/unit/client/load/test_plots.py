"""What is plotted is what was found, with failed requests where they belong: at the end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eais_client.load.brain.run_figures import RunFigures, figures
from eais_client.load.report.comparing_plots import capacity_plot, ratio_plot
from eais_client.load.report.latency_plots import (
    groups,
    percentile_plot,
    percentiles,
    run_names,
    saturation_plot,
    schedule_plot,
    split_plot,
)
from eais_client.load.report.plot import Plot, colour_of, label, log_axis
from eais_client.load.report.time_plots import time_plots
from eais_client.load.result import LoadTestResult
from tests.unit.client.load.records import Bad, Made, record


def run(made: Made | None = None, target: str = "ei-7f3a", **more: Any) -> RunFigures:
    return figures(record(made or Made(), target), 0.03, **more)


def result(*runs: RunFigures, **more: Any) -> LoadTestResult:
    return LoadTestResult("0.1.0", "2025-11-24T16:00:00+00:00", "c", list(runs), **more)


def traces(plot: Plot | None) -> dict[str, Any]:
    assert plot is not None
    return {trace["name"]: trace for trace in plot.data()["data"]}


def test_percentiles_are_those_of_the_figures() -> None:
    found = run()
    x, y = percentiles([found])
    at = dict(zip(x, y, strict=True))
    assert at[2.0] == found.all.p50_ms
    assert at[10.0] == found.all.p90_ms
    assert at[100.0] == found.all.p99_ms
    assert at[1000.0] == found.all.p99_9_ms
    assert x == sorted(x)
    assert y == sorted(y)
    assert max(x) <= found.all.requests


def test_a_line_ends_where_failed_requests_begin() -> None:
    x, _ = percentiles([run(Made(bad=Bad(failed=0.05)))])
    assert 15 < max(x) < 25


def test_a_run_without_any_answer_has_no_line() -> None:
    nothing = run(Made(bad=Bad(failed=1.0)))
    assert percentiles([nothing]) == ([], [])
    assert percentile_plot(result(nothing)) is None


def test_a_histogram_that_is_none_has_no_line() -> None:
    assert percentiles([replace(run(), histogram="junk")]) == ([], [])


def test_the_slo_is_drawn() -> None:
    found = traces(percentile_plot(result(run())))
    assert list(found) == ["ei-7f3a", "SLO 30 ms"]
    assert found["SLO 30 ms"]["y"] == [30, 30]


def test_runs_are_named_by_what_tells_them_apart() -> None:
    one, other = run(), run(Made(per_s=400))
    assert run_names([one]) == ["ei-7f3a"]
    assert run_names([one, other]) == ["200/s", "400/s"]
    assert run_names([one, run(target="b")]) == ["ei-7f3a", "b"]
    assert run_names([one, run(round_number=2)]) == ["ei-7f3a, round 1", "ei-7f3a, round 2"]


def test_rounds_of_a_load_are_one_line_bar_and_point() -> None:
    rounds = [run(), run(Made(per_s=400)), run(Made(seed=2), round_number=2)]
    assert [len(each) for each in groups(rounds).values()] == [2, 1]
    x, _ = percentiles([rounds[0], rounds[2]])
    assert 2000 < max(x) <= 4000
    assert list(traces(percentile_plot(result(*rounds))))[:2] == ["200/s", "400/s"]
    assert traces(split_plot(result(*rounds)))["compute"]["y"] == ["200/s", "400/s"]
    assert len(traces(saturation_plot(result(*rounds)))["p99"]["x"]) == 2


def test_latencies_far_apart_have_a_logarithmic_axis() -> None:
    near, far = run(), run(Made(per_s=400, median_s=2.0))
    for found, kind in (((near, near), None), ((near, far), "log")):
        plot = percentile_plot(result(*found))
        assert plot is not None
        assert plot.data()["layout"]["yaxis"].get("type") == kind
    late = [run(Made(median_s=m, seconds=s)) for m, s in ((0.01, 20), (2.0, 5))]
    (plot, *_) = time_plots(result(*late))
    assert plot.data()["layout"]["yaxis"]["type"] == "log"


def test_saturation_needs_several_loads() -> None:
    assert saturation_plot(result(run(), run())) is None
    found = traces(saturation_plot(result(run(), run(Made(per_s=400)))))
    assert list(found) == ["p50", "p99", "SLO 30 ms"]
    assert found["p99"]["x"] == [pytest.approx(200, rel=0.02), pytest.approx(400, rel=0.02)]


def test_a_failed_percentile_is_no_point() -> None:
    bad = run(Made(per_s=400, bad=Bad(failed=0.1)))
    found = traces(saturation_plot(result(run(), bad)))
    assert found["p99"]["y"][1] is None


def test_the_split_is_stacked_in_the_order_in_which_a_request_passes() -> None:
    found = traces(split_plot(result(run())))
    assert list(found) == [
        "waiting to be sent",
        "encode",
        "waiting for a worker with room",
        "wire",
        "queue",
        "rest of the batch",
        "compute",
        "decode",
    ]
    assert split_plot(result(run(Made(parts=False)))) is None


def test_time_is_told_from_the_first_run_on_with_gaps_between_runs() -> None:
    later = replace(run(), began_unix_s=run().began_unix_s + 20)
    plots = {plot.name: plot for plot in time_plots(result(run(), later))}
    assert list(plots) == ["latency-time", "throughput-time", "cores-time", "rss_mb-time"]
    asked = traces(plots["throughput-time"])["asked"]
    assert asked["x"][:2] == [0.5, 1.5]
    assert asked["x"][11:13] == [20.5, 21.5]
    assert asked["y"][10] is None


def test_what_failed_is_drawn_only_where_something_did() -> None:
    def names(made: Made) -> set[str]:
        plots = {plot.name: plot for plot in time_plots(result(run(made)))}
        return set(traces(plots["throughput-time"]))

    assert names(Made()) == {"asked", "done"}
    assert names(Made(bad=Bad(failed=0.1, wrong=0.1))) == {"asked", "done", "failed", "wrong"}


def test_a_server_that_is_not_seen_is_said() -> None:
    plots = {plot.name: plot for plot in time_plots(result(run(Made(server=False))))}
    assert "its workers are on host far-away" in plots["cores-time"].note
    assert list(traces(plots["cores-time"])) == ["client"]


def test_steps_are_marked_from_the_scenarios_begin_and_near_ones_together() -> None:
    steps = [{"began_s": at, "seconds": 1.0, "step": "s"} for at in (0.0, 0.01, 5.0)]
    (plot, *_) = time_plots(result(run(), steps=steps))
    layout = plot.data()["layout"]
    assert [each["text"] for each in layout["annotations"]] == ["1, 2", "3"]
    assert len([each for each in layout["shapes"] if each["type"] == "rect"]) == 3


def test_without_any_second_there_is_nothing_over_time() -> None:
    assert list(time_plots(result(replace(run(), series=())))) == []


def test_lateness_stands_beside_latency() -> None:
    found = traces(schedule_plot(result(run())))
    assert found["latency, p99"]["y"] == [run().all.p99_ms]
    assert found["sent late, most"]["y"] == [run().schedule["lag_max_ms"]]
    assert schedule_plot(result(replace(run(), schedule={}))) is None


def test_ratios_have_their_intervals() -> None:
    ratio = {"target": "a", "against": "b", "phase": "p", "figure": "p50_ms", "ratio": 1.2}
    sure, unsure = {**ratio, "low": 1.1, "high": 1.5}, {**ratio, "low": None, "high": None}
    plot = ratio_plot(result(run(), ratios=[sure, {**unsure, "figure": "p99_ms"}]))
    found = traces(plot)["a"]
    assert found["x"] == [1.2, 1.2]
    assert found["error_x"]["array"] == [pytest.approx(0.3), 0]
    assert found["error_x"]["arrayminus"] == [pytest.approx(0.1), 0]
    assert ratio_plot(result(run(), ratios=[{**ratio, "ratio": None}])) is None


def test_trials_are_drawn_by_their_late_share() -> None:
    trials = [
        {"rate_per_s": 100.0, "due": 1000, "late": 0, "seconds": 10.0, "kept": True},
        {"rate_per_s": 400.0, "due": 4000, "late": 40, "seconds": 10.0, "kept": True},
        {"rate_per_s": 800.0, "due": 8000, "late": 4000, "seconds": 10.0, "kept": False},
        "junk",
    ]
    capacity = {"per_s": 400.0, "low": 380.0, "high": 420.0, "share": 0.99, "trials": trials}
    found = traces(capacity_plot(result(capacity=capacity)))
    assert found["trial"]["y"] == [1e-5, 0.01]
    assert found["trial whose schedule wasn't kept"]["y"] == [0.5]
    assert capacity_plot(result(capacity={"trials": []})) is None
    assert capacity_plot(result()) is None


def test_names_are_no_markup_for_plotly() -> None:
    assert label('<a href="x">') == '&lt;a href="x"&gt;'
    found = traces(percentile_plot(result(run(target="<b>"), run(target="c"))))
    assert list(found)[:2] == ["&lt;b&gt;", "c"]


def test_a_logarithmic_axis_has_whole_figures() -> None:
    assert log_axis("ms", [12.0, 80.0, None])["ticktext"] == ["10", "20", "50", "100", "200", "500"]
    assert log_axis("ms", [0.001, 100.0])["ticktext"][:2] == ["0.001", "0.01"]
    assert "tickvals" not in log_axis("ms", [None, 0.0])


def test_a_name_has_one_colour() -> None:
    colours = colour_of(["a", "b", "a"])
    assert list(colours) == ["a", "b"]
    assert len(set(colours.values())) == 2


def test_more_bars_and_entries_make_a_plot_higher() -> None:
    few = split_plot(result(run()))
    many = split_plot(result(*(run(Made(per_s=float(n))) for n in np.arange(100, 116))))
    assert few is not None
    assert many is not None
    assert many.height > few.height
