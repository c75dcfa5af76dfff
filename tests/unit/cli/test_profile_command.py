from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from eais.rpc.v1 import profiles_pb2
from eais_client.cli.testing import FakeOutside

CPU = profiles_pb2.ModelProfile(
    kind="cpu",
    device_model="Xeon",
    share_milli=2000,
    runtime="onnxruntime",
    precision="fp32",
    measured_unix_s=1_700_000_000,
    points=[
        profiles_pb2.ProfilePoint(
            batch=1, samples=10, mean_s=0.02, p50_s=0.019, p99_s=0.03, noise=0.1
        )
    ],
    failed=[profiles_pb2.ProfileFailure(batch=2, reason="INPUT_SHAPE")],
)
GPU = profiles_pb2.ModelProfile(
    kind="gpu",
    device_model="Simulated GPU",
    simulated=True,
    share_milli=125,
    runtime="onnxruntime",
    precision="fp32",
    points=[profiles_pb2.ProfilePoint(batch=8, samples=2, mean_s=0.004, p50_s=0.004, p99_s=0.004)],
)
NPU = profiles_pb2.Unmeasured(kind="npu", device_model="Hexagon", why="it isn't idle")
OVER = profiles_pb2.MeasureReply(
    over=True,
    why="all is known that matters",
    digest=b"m" * 32,
    batches=12,
    profiles=[GPU, CPU],
    unmeasured=[NPU],
)
BUSY = profiles_pb2.MeasureReply(batches=3, busy=["Xeon (cpu.2)"])


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"m")
    return str(path)


def test_a_file_is_sent_by_an_instance_of_its_own_and_measured(
    eais: FakeOutside, model: str
) -> None:
    eais.pool.measures = [BUSY, BUSY, OVER]
    said = eais.run("profile", model)
    assert (said.code, said.err) == (0, "")
    assert eais.brought == [("ei-0001", model)]
    assert not eais.pool.instances
    # One study, asked for once and then looked at.
    assert len({request.op_id for request in eais.pool.measured}) == 1
    assert len(eais.pool.measured) == 3
    assert all(request.spec.files[0].size == 1 for request in eais.pool.measured)
    lines = said.out.splitlines()
    assert lines[0].split("   ")[0] == "DEVICE MODEL"
    assert [line.split()[0] for line in lines[1:3]] == ["Xeon", "Simulated"]
    assert "cpu.2" in lines[1]
    assert "Simulated GPU (simulated)   gpu.1-8" in lines[2]
    assert "not run: Xeon, cpu.2, onnxruntime/fp32, batch 2: INPUT_SHAPE" in lines
    assert "not measured: Hexagon (npu): it isn't idle" in lines


def test_what_was_measured_as_data(eais: FakeOutside, model: str) -> None:
    eais.pool.measures = [OVER]
    data = eais.run("profile", model, "--tolerance", "bf16", "-o", "json").data
    assert (data["model"], data["batches"]) == ((b"m" * 32).hex(), 12)
    gpu, cpu = cast("list[dict[str, Any]]", data["profiles"])
    assert (gpu["type"], gpu["simulated"], gpu["measured_at"]) == ("gpu.1-8", True, None)
    assert cpu["measured_at"] == "2023-11-14T22:13:20+00:00"
    assert cpu["points"][0]["p50_ms"] == 19.0
    assert cpu["points"][0]["throughput_per_s"] == 50.0
    assert eais.pool.measured[0].tolerance == "bf16"


def test_wide_says_how_sure_it_is(eais: FakeOutside, model: str) -> None:
    eais.pool.measures = [OVER]
    out = eais.run("profile", model, "-o", "wide").out
    assert "SAMPLES   NOISE   MEASURED" in out
    assert "10        10%     2023-11-14T22:13:20+00:00" in out


def test_an_instance_that_is_named_sends_it_and_stays(eais: FakeOutside, model: str) -> None:
    eais.run("attach", "--type", "cpu.1")
    eais.pool.measures = [OVER]
    assert eais.run("profile", model, "--instance", "ei-0001").code == 0
    assert eais.brought == [("ei-0001", model)]
    assert list(eais.pool.instances) == ["ei-0001"]


def test_a_model_that_an_instance_has_open_is_named_by_its_digest(eais: FakeOutside) -> None:
    eais.pool.measures = [OVER, OVER]
    for text in ("ab" * 32, "sha256:" + "ab" * 32):
        assert eais.run("profile", text).code == 0
    assert {request.digest for request in eais.pool.measured} == {bytes.fromhex("ab" * 32)}
    assert eais.brought == []


def test_a_file_that_is_not_there_leaves_no_instance(eais: FakeOutside) -> None:
    said = eais.run("profile", "none.onnx")
    assert said.code == 2
    assert said.err.startswith("error: NOT_FOUND: ")
    assert not eais.pool.instances


def test_explain_says_why_an_instance_is_where_it_is(eais: FakeOutside) -> None:
    eais.run("attach", "--type", "auto", "--slo-p99", "50ms", "--rate", "5", "--price-cap", "0.5")
    instance = eais.pool.instances["ei-0001"]
    assert (instance.policy.rate_per_s, instance.policy.price_cap_per_h) == (5.0, 0.5)
    instance.placement.why = "cpu.2 meets 50 ms at 5/s at 0.04/h; gpu.1-8 would cost 0.312/h"
    instance.placement.weighed.append("cpu.2 (Xeon, onnxruntime/fp32): chosen: p99 45 ms")
    said = eais.run("explain", "ei-0001").out.splitlines()
    assert said == [
        f"ei-0001  auto: {instance.placement.why}",
        "  on local: 1 of cpu0",
        "  cpu.2 (Xeon, onnxruntime/fp32): chosen: p99 45 ms",
    ]
    data = eais.run("explain", "ei-0001", "-o", "json").data
    assert data["why"] == instance.placement.why


def test_explain_of_what_has_no_share(eais: FakeOutside) -> None:
    eais.run("create", "auto")
    assert "it has no share of a device now" in eais.run("explain", "ei-0001").out
