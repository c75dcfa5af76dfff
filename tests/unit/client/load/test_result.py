"""The document of a load test is written and read back, and another one is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eais.errors import UsageError
from eais_client.load.brain.run_figures import figures
from eais_client.load.result import LoadTestResult, machine_data, read_result
from tests.unit.client.load.records import Made, record

RUN = figures(record(Made(seconds=2, per_s=50)), 0.05)
RESULT = LoadTestResult(
    eais="0.1.0",
    when="2026-11-23T03:00:00+00:00",
    command="eais loadtest --model m.onnx",
    runs=[RUN],
    machine={"cores": 2},
    settings={"driver": "threads"},
    models=[{"name": "m", "sha256": "00"}],
    targets=[{"name": "ei-7f3a", "kind": "instance"}],
    missed=["p99 = 61.2 ms, which is > 50 ms"],
)


def document() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(RESULT.data()))
    return data


def test_it_is_read_back() -> None:
    assert LoadTestResult.of_data(document()).data() == RESULT.data()
    sought = replace(RESULT, capacity={"per_s": 300.0})
    assert LoadTestResult.of_data(sought.data()).data() == sought.data()


def test_the_figures_of_a_single_run_stand_at_the_top() -> None:
    data = document()
    assert data["p99_ms"] == RUN.all.p99_ms == data["runs"][0]["p99_ms"]
    assert (data["requests"], data["errors"], data["wrong"]) == (100, 0, 0)
    assert "p99_ms" not in replace(RESULT, runs=[RUN, RUN]).data()


@pytest.mark.parametrize("data", [None, [], {}, {"benchmark": 1}])
def test_what_is_no_result_is_refused(data: object) -> None:
    with pytest.raises(UsageError, match=r"a\.json is no result of a load test") as caught:
        LoadTestResult.of_data(data, "a.json")
    assert "-o json" in caught.value.hint


def test_another_version_is_refused() -> None:
    with pytest.raises(UsageError, match="version 2, and not 1"):
        LoadTestResult.of_data({**document(), "loadtest": 2})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("eais", 3, "this has no eais that is of use"),
        ("runs", None, "this has no runs that is of use"),
        ("runs", [3], "an entry of runs is no object"),
        ("runs", [{}], "run 1: target is None"),
        ("capacity", 300, "no capacity that is of use"),
    ],
)
def test_what_is_of_no_use_is_named(key: str, value: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        LoadTestResult.of_data({**document(), key: value})


def test_a_file_is_read_with_what_was_printed_before_the_result(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document(), indent=1))
    assert read_result(path).data() == RESULT.data()
    path.write_text(f"attached ei-7f3a\n{json.dumps(document())}\n")
    assert read_result(path).data() == RESULT.data()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", b"[" * 100_000, b"3"])
def test_a_file_that_holds_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.json"):
        read_result(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"b\.json: No such file"):
        read_result(tmp_path / "b.json")
    with pytest.raises(UsageError, match="Is a directory"):
        read_result(tmp_path)


def test_the_machine_is_described(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor: 0\nmodel name\t: Some CPU @ 2 GHz\n")
    assert machine_data(info)["cpu"] == "Some CPU @ 2 GHz"
    found = machine_data(tmp_path / "none")
    assert found["cores"] >= 1
    assert found["cpu"]
    assert found["kernel"].startswith("Linux ")
