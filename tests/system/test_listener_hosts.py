"""Hosts that joined by tokens: instances on each for a tenant elsewhere, and what may end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.stack import eventually
from tests.system.team import BackEnd, Team, team_at
from tests.system.terminal import Terminal

SETTINGS = "[manager]\nenrolment_port = 0\n"
# Says whether an instance's answers are those of onnxruntime here, to the bit.
PROGRAM = """
import sys
import numpy as np
import onnxruntime
import eais

model, instance = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
local = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
remote = eais.InferenceSession(model, provider_options=[{"instance": instance}])
rng = np.random.default_rng(7)
for _ in range(20):
    x = rng.standard_normal((4, 64), dtype=np.float32)
    (want,), (got,) = local.run(None, {"x": x}), remote.run(None, {"x": x})
    assert (got.dtype, got.shape, got.tobytes()) == (want.dtype, want.shape, want.tobytes())
print("the same")
"""


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    root = tmp_path_factory.mktemp("hosts")
    with team_at(root, "127.0.0.81", SETTINGS, "--no-listener", tenants=("acme",)) as made:
        yield made


@pytest.fixture(scope="module")
def hosts(team: Team) -> Iterator[tuple[BackEnd, BackEnd]]:
    with team.host("h2", "127.0.0.82") as second, team.host("h3", "127.0.0.83") as third:
        yield second, third


@pytest.fixture(scope="module")
def ada(team: Team) -> Terminal:
    return team.user("ada", "acme")


@pytest.fixture(scope="module")
def attached(ada: Terminal, hosts: tuple[BackEnd, BackEnd]) -> list[dict[str, Any]]:
    return [ada.data("attach", "--type", "cpu.1") for _ in hosts]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(3).standard_normal((64, 32), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 32])],
        [numpy_helper.from_array(weights, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("model") / "one.onnx"
    onnx.save(made, path)
    return path


def answers_are_right(user: Terminal, model: Path, instance: str) -> None:
    command = [sys.executable, "-c", PROGRAM, str(model), instance]
    done = subprocess.run(
        command, env=user.environ, cwd=user.home, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "the same\n"), done.stderr


def where(user: Terminal, instance: str) -> tuple[str, str, list[str], int]:
    """Host, vNIC, workers' endpoints and epoch of an instance."""
    found = user.data("describe", instance)
    endpoints = [str(worker["address"]) for worker in found["workers"]]
    return found["host"], found["vnic"]["address"], endpoints, found["epoch"]


def test_a_second_tenants_instances_answer_from_both_hosts(
    ada: Terminal, attached: list[dict[str, Any]], model: Path
) -> None:
    found = [where(ada, each["id"]) for each in attached]
    assert [(host, address) for host, address, _, _ in found] == [
        ("h2", "127.0.0.82"),
        ("h3", "127.0.0.83"),
    ]
    assert [each["vnic"]["driver"] for each in attached] == ["host", "host"]
    assert [each["vnic"]["isolation"] for each in attached] == ["mTLS only", "mTLS only"]
    for each in attached:
        answers_are_right(ada, model, each["id"])


def test_a_listener_that_is_killed_comes_back_with_its_ports_and_leases(
    ada: Terminal, hosts: tuple[BackEnd, BackEnd], attached: list[dict[str, Any]], model: Path
) -> None:
    before, said = where(ada, attached[0]["id"]), hosts[0].said
    os.kill(said["pid"], signal.SIGKILL)

    def again() -> bool | None:
        now = hosts[0].said
        return (now["pid"] != said["pid"] and now["joined"]) or None

    assert eventually(again, "another listener has joined", within_s=60)
    for key in ("address", "user_port", "management_port", "instances"):
        assert hosts[0].said[key] == said[key]
    answers_are_right(ada, model, attached[0]["id"])
    assert where(ada, attached[0]["id"]) == before


def test_it_comes_back_after_a_reboot_without_a_token(
    ada: Terminal, hosts: tuple[BackEnd, BackEnd], attached: list[dict[str, Any]], model: Path
) -> None:
    before = where(ada, attached[1]["id"])
    assert hosts[1].terminal.run("listener", "down").returncode == 0
    assert hosts[1].terminal.run("listener", "status").returncode == 4
    hosts[1].await_reachable(False)
    states = {
        share["state"]
        for device in hosts[1].team.operator.data("devices")["devices"]
        if device["host"] == "h3"
        for share in device["shares"]
    }
    assert states == {"LOST"}
    refused = ada.run("attach", "--type", "cpu.1")
    assert refused.stderr.startswith("error: NO_DEVICE: ")
    hosts[1].up_again()
    hosts[1].await_reachable()
    answers_are_right(ada, model, attached[1]["id"])
    assert where(ada, attached[1]["id"]) == before


def test_a_manager_that_restarts_changes_nothing(
    team: Team,
    ada: Terminal,
    hosts: tuple[BackEnd, BackEnd],
    attached: list[dict[str, Any]],
    model: Path,
) -> None:
    before = [where(ada, each["id"]) for each in attached]
    supervisor = int(team.operator.data("pool", "status")["pid"])
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    eventually(lambda: team.operator.run("host", "list").returncode == 0 or None, "a manager", 120)
    for host in hosts:
        host.await_reachable()
    answers_are_right(ada, model, attached[0]["id"])
    assert [where(ada, each["id"]) for each in attached] == before


def test_another_machine_of_that_name_is_refused(
    team: Team, hosts: tuple[BackEnd, BackEnd]
) -> None:
    other = team.machine("h2-again")
    at, token = team.token("listener", "--name", "h2")
    said = other.run("listener", "up", "--pool", at, "--address", "127.0.0.84", stdin=token)
    assert said.returncode == 2
    assert said.stderr.startswith("error: NAME_TAKEN: another listener is host 'h2'")
    assert other.run("listener", "status").returncode == 4
    assert hosts[0].reachable()


def test_a_token_for_another_host_or_purpose_makes_no_host(team: Team) -> None:
    other = team.machine("h9")
    at, token = team.token("listener", "--name", "h8")
    more = ("--pool", at, "--address", "127.0.0.84", "--name", "h9")
    said = other.run("listener", "up", *more, stdin=token)
    assert (said.returncode, said.stderr.partition(": the")[0]) == (2, "error: NAME")
    at, token = team.token("frontend", "--tenant", "acme", "--name", "eve")
    said = other.run("listener", "up", *more, stdin=token)
    assert (said.returncode, said.stderr.partition(": ")[2][:6]) == (3, "TOKEN:")
    assert not list(other.home.glob(".local/state/eais/listeners/h9/*.pem"))
