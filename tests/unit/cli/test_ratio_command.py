from __future__ import annotations

from typing import Any, cast

import pytest

from eais.rpc.v1 import pool_pb2
from eais_client.cli.ratio_command import age_text
from eais_client.cli.testing import FakeOutside

DECISION = pool_pb2.RatioDecision(
    age_s=200,
    target="2 × gpu.1-8",
    requested="2 × gpu.1-8",
    observed="1 × cpu.1",
    cost_per_h=0.625,
    required_per_s=90,
    arrived=80,
    waiting=40,
    cause="waiting",
    why="2 × gpu.1-8: calls would wait too long",
    weighed=["4 × cpu.1: serves 40/s at most in bounds"],
    failed="NO_DEVICE: no room",
)


def decided(eais: FakeOutside, *decisions: pool_pb2.RatioDecision, asleep: bool = False) -> None:
    made = pool_pb2.Ratio(decisions=decisions, observed="1 cpu", asleep=asleep)
    eais.pool.instances["ei-0001"].ratio.CopyFrom(made)


def test_attach_says_the_ratio_and_its_bounds(eais: FakeOutside) -> None:
    eais.run("attach", "--ratio", "auto", "--min", "1", "--max", "4", "--kinds", "cpu,gpu")
    instance = eais.pool.instances["ei-0001"]
    wanted = pool_pb2.RatioPolicy(ratio="auto", least=1, most=4, kinds=["cpu", "gpu"])
    assert (instance.type, instance.policy.ratio) == ("auto", wanted)
    eais.run("attach", "--ratio", "auto", "--late-target", "0.1%")
    assert eais.pool.instances["ei-0002"].policy.ratio.late_target == 0.001
    said = eais.run("attach", "--ratio", "auto", "--late-target", "0.1")
    assert (said.code, said.err.splitlines()[0]) == (
        2,
        "error: RATIO: late-target is a part of calls such as 0.1%, from 0.001% to 50%, not '0.1'",
    )
    said = eais.run("attach", "--ratio", "0:0")
    assert said.code == 2
    assert said.err.startswith("error: RATIO: a ratio is auto, or CPU workers and")


def test_what_was_decided_when(eais: FakeOutside) -> None:
    eais.run("attach", "--ratio", "auto")
    decided(eais, DECISION)
    lines = eais.run("ratio", "ei-0001").out.splitlines()
    assert lines[0] == "ei-0001  auto: 1 cpu; asked for: 2 × gpu.1-8"
    assert lines[1].split()[:3] == ["AGE", "REQUESTED", "TARGET"]
    assert lines[2].startswith("3m    2 × gpu.1-8   2 × gpu.1-8   1 × cpu.1")
    assert lines[2].endswith("calls would wait too long; NO_DEVICE: no room")
    data = eais.run("ratio", "ei-0001", "-o", "json").data
    ratio = cast("dict[str, Any]", data["ratio"])
    assert (ratio["observed"], ratio["asleep"]) == ("1 cpu", False)
    (decision,) = ratio["decisions"]
    assert (decision["cause"], decision["failed"]) == ("waiting", "NO_DEVICE: no room")


def test_explain_ends_with_the_last_decision(eais: FakeOutside) -> None:
    eais.run("attach", "--ratio", "auto")
    decided(eais, DECISION)
    out = eais.run("explain", "ei-0001").out
    assert "ratio, 200 s ago: 2 × gpu.1-8: calls would wait too long" in out
    data = eais.run("explain", "ei-0001", "-o", "json").data
    assert cast("dict[str, Any]", data["ratio"])["requested"] == "2 × gpu.1-8"


def test_one_that_sleeps_one_that_needed_nothing_and_one_of_a_type(eais: FakeOutside) -> None:
    eais.run("attach", "--ratio", "auto")
    decided(eais, asleep=True)
    assert "no worker: the next call wakes it" in eais.run("ratio", "ei-0001").out
    decided(eais)
    assert "1 cpu; nothing else was needed so far" in eais.run("ratio", "ei-0001").out
    eais.run("attach", "--ratio", "4:0.25")
    assert eais.run("ratio", "ei-0002").out == "ei-0002  its ratio is 4:0.25, as was asked for\n"
    eais.run("attach", "--type", "cpu.2")
    data = eais.run("ratio", "ei-0003", "-o", "json").data
    assert (data["ratio"], data["fixed"]) == (None, None)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (119, "119s"), (180, "3m"), (7300, "2h"), (200_000, "2d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert age_text(seconds) == text
