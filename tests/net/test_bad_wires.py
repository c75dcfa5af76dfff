"""Calls by a vNIC while the network between the machines fails: late at worst, never lost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest

from tests.net.machines import WIRE, site
from tests.net.program import Job, job
from tests.net.reach import ip, place
from tests.net.test_main_job import attached

pytestmark = pytest.mark.net("vxlan")
TIMEOUT_S = 1.0


@contextlib.contextmanager
def calling(folder: Path, timeout_s: float = TIMEOUT_S) -> Iterator[Job]:
    """A program that calls all the while, each call with a deadline."""
    with site(folder, "vxlan") as made:
        attached(made, "vxlan")
        with job(made) as program:
            program.tell(f"begin {timeout_s}")
            yield program


def wire(*words: str) -> None:
    ip("-n", place(WIRE).name, *words)


def shaped(*words: str) -> None:
    for end in ("tob", "tof"):
        ip("netns", "exec", place(WIRE).name, "tc", "qdisc", *words[:1], "dev", end, *words[1:])


def outcome(program: Job) -> dict[str, float]:
    seen = program.tell("end")
    print(seen)
    assert (seen["wrong"], seen["lost"], seen["errors"]) == (0, 0, [])
    assert seen["calls"] > seen["late"]
    return {"late": seen["late"], "late_by_s": seen["late_by_s"]}


def test_a_partition_of_five_seconds(tmp_path: Path) -> None:
    with calling(tmp_path) as program:
        wire("link", "set", "tof", "down")
        sleep(5)
        wire("link", "set", "tof", "up")
        seen = program.tell("answered")
        assert outcome(program)["late"] >= 3
        assert seen["answered"]


def test_an_interface_that_flaps(tmp_path: Path) -> None:
    with calling(tmp_path) as program:
        for _ in range(10):
            wire("link", "set", "tof", "down")
            sleep(0.2)
            wire("link", "set", "tof", "up")
            sleep(0.3)
        assert program.tell("answered")["answered"]
        outcome(program)


def test_a_link_of_ten_megabits(tmp_path: Path) -> None:
    with calling(tmp_path, 30.0) as program:
        shaped("add", "root", "tbf", "rate", "10mbit", "burst", "16kb", "latency", "100ms")
        sleep(5)
        assert program.tell("answered")["answered"]
        assert outcome(program)["late"] == 0
