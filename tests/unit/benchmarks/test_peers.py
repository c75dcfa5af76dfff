from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from benchmarks.peers import installed
from benchmarks.peers.cases import CASES
from benchmarks.peers.figures import case_figures, missed
from benchmarks.peers.models import SHAPES, write_models
from benchmarks.peers.mosec import read_answer
from benchmarks.peers.triton import MOST_TOGETHER, write_repository
from eais_client.load.brain.plan import Driver


def test_why_there_is_no_peer_is_said(tmp_path: Path) -> None:
    assert installed.why_not(None, "kserve") == "PEERS_DIR is not set"
    assert installed.why_not("", "kserve") == "PEERS_DIR is not set"
    (tmp_path / "tb").mkdir()
    assert installed.why_not(str(tmp_path), "triton", "tritonclient") == (
        "PEERS_DIR has no triton, client"
    )
    for name in ("triton", "client"):
        (tmp_path / name).mkdir()
    assert installed.why_not(str(tmp_path), "triton", "tritonclient") == (
        "PEERS_DIR has no nvidia-pytriton in triton, onnxruntime in triton, tritonclient in client"
    )
    _install(tmp_path / "client", "tritonclient", "2.73.0")
    assert installed.why_not(str(tmp_path), "tritonclient") == ""
    for package in ("nvidia-pytriton", "onnxruntime"):
        _install(tmp_path / "triton", package, "1.2.3")
    assert installed.why_not(str(tmp_path), "triton", "tritonclient") == ""
    assert installed.versions(tmp_path, "triton") == "nvidia-pytriton 1.2.3, onnxruntime 1.2.3"


def _install(environment: Path, package: str, version: str) -> None:
    name = package.replace("-", "_")
    at = environment / f"lib/python3.11/site-packages/{name}-{version}.dist-info"
    at.mkdir(parents=True)
    (at / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")


def test_all_serve_the_same_models(tmp_path: Path) -> None:
    write_models(tmp_path)
    for name, shapes in SHAPES.items():
        session = onnxruntime.InferenceSession(tmp_path / f"{name}.onnx")
        [x], [y] = session.get_inputs(), session.get_outputs()
        assert (x.name, y.name) == ("x", "y")
        assert [len(x.shape), len(y.shape)] == [len(shapes["x"]), len(shapes["y"])]


def test_triton_is_told_of_each_model(tmp_path: Path) -> None:
    at = write_repository(tmp_path / "triton", ["tiny", "resnet50"])
    assert sorted(each.name for each in at.iterdir()) == ["resnet50", "tiny"]
    said = (at / "resnet50/config.pbtxt").read_text()
    assert f"max_batch_size: {MOST_TOGETHER['resnet50']}" in said
    assert "dims: [3, 224, 224]" in said


def run(target: str, number: int, **figures: Any) -> dict[str, Any]:
    blank = {"error_reasons": {}, "wrong": 0, "unanswered": 0, "checked": 5}
    return {"target": target, "phase": "p", "round": number, **blank, **figures}


def test_ours_is_over_each_other_by_round() -> None:
    alone = CASES[0]
    took = {"ours": (1.0, 2.0, 3.0), "triton": (2.0, 4.0, 6.0)}
    runs = [run(name, n, p50_ms=ms) for name, all_of in took.items() for n, ms in enumerate(all_of)]
    found = case_figures(alone, runs)
    assert found["ours_over_triton"] == 0.5
    assert found["p50_us"] == {"ours": 2000.0, "triton": 4000.0}
    assert found["checked"] == {"ours": 15, "triton": 15}
    assert missed({"16_bytes": found}) == []


def test_many_callers_are_compared_by_what_they_get_done() -> None:
    many = next(case for case in CASES if case.driver is Driver.TASKS)
    runs = [run("ours", n, done_per_s=900.0) for n in range(3)]
    runs += [run("mosec", n, done_per_s=300.0, wrong=n) for n in range(3)]
    found = case_figures(many, runs)
    assert found["ours_over_mosec"] == 3.0
    assert missed({"64_tasks": found}) == ["64_tasks: mosec: 3 requests: WRONG"]


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", (200, b"abc")),
        (b"HTTP/1.1 503 no\r\ncontent-length: 0\r\n\r\n", (503, b"")),
    ],
)
def test_an_answer_is_read(sent: bytes, found: tuple[int, bytes]) -> None:
    async def read() -> tuple[int, bytes]:
        reader = asyncio.StreamReader()
        reader.feed_data(sent)
        reader.feed_eof()
        return await read_answer(reader)

    assert asyncio.run(read()) == found


def test_figures_are_json() -> None:
    runs = [run(name, n, p50_ms=1.0) for name in ("ours", "triton") for n in range(2)]
    assert json.loads(json.dumps(case_figures(CASES[0], runs)))["intervals"]
