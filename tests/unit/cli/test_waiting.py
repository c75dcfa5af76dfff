"""`--wait`: how an attach stands in line is said as it changes, and Ctrl-C leaves the line."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from eais.errors import make_error
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais_client.cli.line_view import LineShown
from eais_client.cli.printer import Format, Printer
from eais_client.cli.testing import FakeOutside
from eais_client.cli.testing_pool import FakePool
from eais_client.instances import InLine, Instance
from eais_client.testing import fake_instance

BOUND = {"instance": pool_pb2.Instance(id="ei-0009", type="cpu.1", state=pool_pb2.BOUND)}


class Crowded(FakePool):
    """Where the next one that waits stands, one answer after the other; then it has room."""

    def __init__(self, *places: tuple[int, int] | BaseException) -> None:
        super().__init__()
        self.places = list(places)
        self.waits: list[int] = []
        self.stopped: list[str] = []

    def call(self, verb: Any, request: Any, timeout_s: float | None) -> Any:
        if verb is verbs.POOL_STOP:
            self.stopped.append(request.instance)
            return pool_pb2.InstanceReply(**BOUND)
        if verb is not verbs.POOL_ATTACH or not self.places:
            return super().call(verb, request, timeout_s)
        self.waits.append(request.wait_ms)
        place = self.places.pop(0)
        if isinstance(place, BaseException):
            raise place
        reply = pool_pb2.InstanceReply(**BOUND)
        reply.instance.line.CopyFrom(pool_pb2.Line(position=place[0], length=place[1]))
        return reply


def crowd(eais: FakeOutside, *places: tuple[int, int] | BaseException) -> Crowded:
    eais.pool = made = Crowded(*places)
    return made


def test_each_position_is_said_once_until_there_is_room(eais: FakeOutside) -> None:
    pool = crowd(eais, (3, 5), (3, 5), (1, 4))
    said = eais.run("attach", "--type", "cpu.1", "--wait", "30s")
    assert said.code == 0
    assert said.err.splitlines() == [
        "waiting: position 3 of 5 in line (ei-0009)",
        "waiting: position 1 of 4 in line (ei-0009)",
    ]
    assert said.out.startswith("ei-0001  IN_USE")
    assert pool.waits == [30_000] * 3
    assert pool.stopped == []


def test_for_programs_each_position_is_an_object_on_standard_error(eais: FakeOutside) -> None:
    crowd(eais, (2, 2))
    said = eais.run("attach", "--type", "cpu.1", "--wait", "2h", "-o", "json")
    assert json.loads(said.err) == {"waiting": {"instance": "ei-0009", "position": 2, "of": 2}}
    assert said.data["state"] == "IN_USE"


def test_ctrl_c_leaves_the_line(eais: FakeOutside) -> None:
    pool = crowd(eais, (1, 1), KeyboardInterrupt())
    assert eais.run("attach", "--type", "cpu.1", "--wait", "30s").code == 130
    assert pool.stopped == ["ei-0009"]


def test_an_error_is_the_answer_and_nothing_is_stopped(eais: FakeOutside) -> None:
    pool = crowd(eais, (1, 1), make_error("NO_DEVICE", "nothing came free"))
    said = eais.run("attach", "--type", "cpu.1", "--wait", "30s")
    assert said.code == 4
    assert said.err.splitlines()[-1].startswith("error: NO_DEVICE: nothing came free")
    assert pool.stopped == []


@pytest.mark.parametrize("wait", ["soon", "5", "-1s"])
def test_a_wait_is_a_time(eais: FakeOutside, wait: str) -> None:
    said = eais.run("attach", "--type", "cpu.1", f"--wait={wait}")
    assert said.code == 2
    assert "is not a time such as" in said.err


def test_what_waits_is_described_so(eais: FakeOutside) -> None:
    eais.run("create", "cpu.1")
    line = pool_pb2.Line(position=2, length=3)
    eais.pool.instances["ei-0001"].line.CopyFrom(line)
    assert "position 2 of 3 in line, for room" in eais.run("describe", "ei-0001").out
    data = eais.run("describe", "ei-0001", "-o", "json").data
    assert data["line"] == {"position": 2, "of": 3}


def test_on_a_terminal_the_progress_says_it() -> None:
    class Steps:
        def __init__(self) -> None:
            self.said: list[str] = []

        def step(self, text: str, done: float = 0.0, total: float | None = None) -> None:
            self.said.append(text)

    steps, err = Steps(), io.StringIO()
    shown = LineShown(Printer(Format.TABLE, io.StringIO(), err), steps)
    waits: Instance = fake_instance(line=InLine(1, 2))
    shown(waits)
    shown(waits)
    assert steps.said == ["waiting: position 1 of 2 in line (ei-1)"]
    assert err.getvalue() == ""
