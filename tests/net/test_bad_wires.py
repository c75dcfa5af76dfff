"""Calls by a vNIC while the network between the machines fails: late at worst, never lost."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import sleep

import pytest

from eais_server.net.firewall.nft import run as nft_run
from eais_server.net.links.entering import in_namespace
from tests.net.machines import WIRE, Machine, site
from tests.net.program import Job, job
from tests.net.reach import ip, place
from tests.net.test_main_job import attached

pytestmark = pytest.mark.net("vxlan")
TIMEOUT_S = 1.0
PINGS = Path("/proc/sys/net/ipv4/ping_group_range")


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


def doctor(front: Machine, check: str) -> str:
    """What it says of one check, and what to do."""
    said = json.loads(front.run("doctor", "-o", "json").stdout)
    (found,) = (each for each in said["checks"] if each["check"] == check)
    return f"{found['text']} ({found['remedy']})"


@pytest.mark.slow
def test_doctor_says_what_is_wrong_with_the_wire(tmp_path: Path) -> None:
    with site(tmp_path, "vxlan") as made:
        front = made.front
        instance = attached(made, "vxlan")
        in_namespace(front.namespace, lambda: PINGS.write_text("0 2147483647"))
        (end,) = front.data("net", "status")["vnics"]
        ip("-n", front.namespace.name, "link", "del", end["interface"])
        assert "which wasn't there, and is now" in doctor(front, "vnic")
        assert "wasn't" not in doctor(front, "vnic")

        for side in ("tob", "tof"):
            wire("link", "set", side, "mtu", "1000")
        assert "packets of 1450 bytes are lost" in doctor(front, "listener")
        for side in ("tob", "tof"):
            wire("link", "set", side, "mtu", "1500")

        blocked = "add table inet u; add chain inet u o { type filter hook output priority 0; }"
        nft = partial(nft_run, f"{blocked}; add rule inet u o udp dport 4789 drop")
        in_namespace(made.back.namespace, nft)
        assert "UDP 4789 must pass both ways" in doctor(front, "listener")
        in_namespace(made.back.namespace, partial(nft_run, "delete table inet u"))

        made.agents["f"].kill()
        assert "no network agent answers" in doctor(front, "vnic")
        made.agents["f"].start()
        shaped("add", "root", "tbf", "rate", "10mbit", "burst", "16kb", "latency", "100ms")
        assert "slow: large tensors" in doctor(front, "path")
        assert front.run("detach", instance).returncode == 0
