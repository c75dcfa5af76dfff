"""Models are measured on a real pool's idle devices, and `auto` chooses by that."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import onnx
import onnxruntime as ort
import pytest

import eais
from benchmarks.faults.processes import titled
from eais.rpc import verbs
from eais.rpc.v1 import listener_pb2, pool_pb2, profiles_pb2
from tests.system.stack import Stack, embedded_pool, eventually, op
from tests.system.terminal import Terminal

SMALL = Path(ort.__file__).parent / "datasets" / "logreg_iris.onnx"
LARGE = Path(onnx.__file__).parent / "backend/test/data/light/light_resnet50.onnx"
CONFIG = '[listener]\ncpu_cores = 2\nsimulate = "gpu=1"\n'
# A slow machine takes its time for each worker, of which there are some ten, one after another.
LONG_S = 240.0


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path, {"EAIS_PROFILE_AFTER_S": "0"})
    up = made.run("pool", "up", "--cpu-cores", "2", "--simulate", "gpu=1")
    assert up.returncode == 0, up.stderr
    yield made
    made.run("pool", "down")


@pytest.mark.slow
def test_profile_then_auto_then_explain(terminal: Terminal) -> None:
    data = terminal.data("profile", str(SMALL), timeout_s=LONG_S)
    assert data["model"] == sha256(SMALL.read_bytes()).hexdigest()
    profiles = cast("list[dict[str, Any]]", data["profiles"])
    measured = {(each["kind"], each["simulated"]) for each in profiles if each["points"]}
    assert measured == {("cpu", False), ("gpu", True)}
    # It was sent by an instance of its own, of which nothing is left; the devices are free.
    assert terminal.data("list")["instances"] == []
    code = f"import eais; eais.InferenceSession({str(SMALL)!r}).close()"
    made = terminal.data("attach", "--type", "cpu.1")
    run = terminal.run("run", "--", sys.executable, "-c", code)
    assert run.returncode == 0, run.stderr
    terminal.data("detach", made["id"])
    auto = terminal.data("attach", "--type", "auto", "--slo-p99", "10s")
    (worker,) = auto["workers"]
    assert (worker["kind"], worker["share_milli"]) == ("cpu", 1000)
    said = terminal.data("explain", auto["id"])
    assert auto["why"] == said["why"]
    assert f"auto → cpu.1 on {auto['host']}   " in terminal.run("attach", auto["id"]).stdout
    assert said["why"].startswith("cpu.1 meets 1e+04 ms at 0.02/h; gpu.1-8 would cost 0.312/h")
    assert data["model"][:12] in said["why"]
    assert any("simulated" in each and "dearer" in each for each in said["weighed"])
    refused = terminal.run("attach", "--type", "auto", "--price-cap", "0.001")
    assert refused.returncode == 2
    assert "the cap is 0.001/h" in refused.stderr


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Stack]:
    with embedded_pool(tmp_path, CONFIG, profile_after_s=0.1) as stack:
        yield stack


def measuring(stack: Stack) -> int | None:
    """The process that measures, if there is one."""
    found = titled(stack.supervisor.pid, "eais-worker (measuring)")
    return found.pid if found else None


def attach(stack: Stack, type_: str) -> pool_pb2.Instance:
    request = pool_pb2.AttachRequest(op_id=op(), type=type_)
    reply: pool_pb2.InstanceReply = stack.ask(verbs.POOL_ATTACH, request)
    return reply.instance


def manager(stack: Stack) -> int:
    found = titled(stack.supervisor.pid, "eais-manager")
    assert found is not None
    return int(found.pid)


@pytest.mark.slow
def test_a_session_that_is_open_is_measured_unasked_and_holds_nothing(
    pool: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(pool.config))
    made = attach(pool, "cpu.1")
    options = [{"instance": made.id}]
    with eais.InferenceSession(str(LARGE), provider_options=options):
        eventually(lambda: measuring(pool), "it is measured", LONG_S)
        # What dies with the manager holds nothing: all that there is can be granted.
        os.kill(manager(pool), signal.SIGKILL)
        eventually(lambda: True if measuring(pool) is None else None, "nothing is measured")
        eventually(pool.joined, "the listener joins again", LONG_S)
        shares = [use for device in pool.status().devices for use in device.shares]
        assert [share.instance for share in shares] == [made.id]
        assert attach(pool, "cpu.1").state == pool_pb2.IN_USE
        assert attach(pool, "gpu.1").state == pool_pb2.IN_USE
        # Nothing is left to measure on.
        eventually(lambda: True if measuring(pool) is None else None, "nothing is measured")


@pytest.mark.slow
def test_only_a_tenants_own_models_are_measured_for_it(
    pool: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(pool.config))
    made = attach(pool, "cpu.1")
    with eais.InferenceSession(str(SMALL), provider_options=[{"instance": made.id}]):
        pass
    data = SMALL.read_bytes()
    file = listener_pb2.ModelFile(sha256=sha256(data).digest(), size=len(data))
    spec = listener_pb2.SessionSpec(files=[file])
    request = profiles_pb2.MeasureRequest(op_id=op(), spec=spec)

    def over() -> profiles_pb2.MeasureReply | None:
        other = pool.frontend("other", "mallory")
        reply: profiles_pb2.MeasureReply = pool.ask(verbs.PROFILES_MEASURE, request, other)
        return reply if reply.over else None

    reply = eventually(over, "it is over", LONG_S)
    assert {each.why.split(":")[0] for each in reply.unmeasured} <= {"MODEL_LOST", "it isn't idle"}
    assert any(each.why.startswith("MODEL_LOST") for each in reply.unmeasured)
