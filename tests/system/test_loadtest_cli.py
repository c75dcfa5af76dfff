"""`eais loadtest` as people run it, on a real pool: what it prints, writes, and ends with."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.dataplane.models import write_one_node_models
from eais_client.demo.file_types import model_file
from eais_client.demo.resnet import light_resnet50
from eais_client.load.result import LoadTestResult
from tests.system.terminal import Terminal

RESNET = str(light_resnet50())
SHORT = ("--duration", "2s", "--warmup", "500ms")
OF_MAGIKA = ("--model", str(model_file()), "--range", "bytes=0..256", *SHORT)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A user whose pool is up."""
    made = Terminal(tmp_path_factory.mktemp("home"))
    up = made.run("pool", "up", "--cpu-cores", "2")
    assert up.returncode == 0, up.stderr
    yield made
    down = made.run("pool", "down")
    assert down.returncode == 0, down.stderr


def test_an_instance_is_made_for_the_test_and_nothing_is_left_of_it(user: Terminal) -> None:
    report = user.home / "r.html"
    load = ("--attach", "cpu.1", "--arrivals", "poisson", "--rate", "5", "--slo-p99", "2s")
    data = user.data("loadtest", "--model", RESNET, *load, *SHORT, "--report", str(report))
    assert data["requests"] == data["answered"] > 0
    assert (data["errors"], data["wrong"], data["unanswered"]) == (0, 0, 0)
    assert data["checked"] == min(data["requests"], 16) or data["checked"] > 16
    assert data["asked_per_s"] == pytest.approx(data["requests"] / 2, rel=0.1)
    assert 0 < data["p50_ms"] <= data["p99_ms"] <= data["p99_99_ms"] == data["max_ms"]
    (run,) = data["runs"]
    told = {"queue", "batch", "compute", "wire"}
    assert told <= run["split"].keys()
    assert run["split"]["compute"]["mean_ms"] > 0
    assert run["client"]["cores"] > 0
    assert run["server"]["rss_mb"] > 10
    (target,) = data["targets"]
    assert target["about"]["type"] == "cpu.1"
    assert float(target["about"]["attach_ms"]) > 0
    assert LoadTestResult.of_data(data).runs[0].phase == "5/s poisson"
    page = report.read_text()
    assert page.lower().startswith("<!doctype html>")
    assert not re.search(r"<(?:script|link|img)[^>]*(?:src|href)=[\"']?https?:", page)
    assert user.data("list")["instances"] == []


def test_targets_side_by_side_are_compared_by_round(user: Terminal) -> None:
    sides = ("--attach", "cpu.1", "--onnxruntime", "--set", "threads=1", "--rounds", "3")
    data = user.data("loadtest", *OF_MAGIKA, *sides, timeout_s=120)
    names = [each["name"] for each in data["targets"]]
    assert names[1] == "onnxruntime"
    assert sorted(run["round"] for run in data["runs"]) == [1, 1, 2, 2, 3, 3]
    assert [run["target"] for run in data["runs"]][:4] == [*names, *reversed(names)]
    ratios = {each["figure"]: each for each in data["ratios"]}
    assert ratios["p50_ms"]["target"] == "onnxruntime"
    assert ratios["p50_ms"]["rounds"] == 3
    assert "p50_ms" not in data


def test_a_condition_that_is_met_ends_it_with_1_and_is_named(user: Terminal) -> None:
    load = ("--onnxruntime", "--rate", "20", "--fail-if", "p50 > 1us", "--fail-if", "errors > 0")
    done = user.run("loadtest", *OF_MAGIKA, *load)
    assert done.returncode == 1, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert re.search(r"p50 = \S+ \S+, which is > 1 us|p50 = \S+ \S+, which is > 0.001 ms", said), (
        said
    )


def test_ctrl_c_tells_what_there_is(user: Terminal) -> None:
    load = ("--attach", "cpu.1", "--rate", "10", "--warmup", "1ms", "--duration", "5m")
    argv = ("loadtest", "--model", RESNET, *load, "-o", "json")
    with user.start(*argv) as process:
        assert process.stderr is not None
        # A line for the phase, which is on when it is said.
        assert "10/s" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    data: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert data["interrupted"] is True
    assert data["runs"][0]["interrupted"] is True
    assert user.data("list")["instances"] == []


def test_csv_has_perf_analyzers_columns(user: Terminal) -> None:
    load = ("--onnxruntime", "--concurrency", "1,2")
    done = user.run("loadtest", *OF_MAGIKA, *load, "-o", "csv")
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.startswith("Concurrency,Inferences/Second,Client Send,")
    assert [row.split(",")[0] for row in rows] == ["1", "2"]


def test_a_model_that_isnt_one_is_said_and_nothing_is_left(user: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    file.write_bytes(b"no model")
    done = user.run("loadtest", "--model", str(file), "--attach", "cpu.1", "--rate", "5")
    assert done.returncode in (2, 5)
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert user.data("list")["instances"] == []


def test_an_open_shape_is_asked_for(user: Terminal, tmp_path: Path) -> None:
    write_one_node_models(tmp_path)
    model = ("--model", str(tmp_path / "identity.onnx"), "--onnxruntime", *SHORT)
    done = user.run("loadtest", *model)
    assert done.returncode == 2
    assert "the shape of input 'x' is open: N,D" in done.stderr
    assert "--shape x=" in done.stderr
    assert user.data("loadtest", *model, "--shape", "x=1,8")["errors"] == 0
