"""The whole main job between machines, by each driver of the kernel, which leaves nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from benchmarks.faults.processes import titled
from tests.net.machines import Site, left, site
from tests.net.program import job
from tests.system.stack import eventually

DRIVERS = [
    pytest.param(driver, marks=pytest.mark.net(driver)) for driver in ("veth", "vxlan", "wireguard")
]
MACHINES = ("b", "f")


def attached(site: Site, driver: str, *more: str) -> str:
    made = site.front.data("attach", "--type", "cpu.1", "--vnic", driver, *more)
    assert made["vnic"]["driver"] == driver
    return str(made["id"])


def worker_of(instance: str) -> int:
    """The process that serves it."""
    found = titled(1, f"eais-worker {instance}")
    assert found is not None
    return found.pid


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_main_job(tmp_path: Path, driver: str) -> None:
    with site(tmp_path, driver) as made:
        before = left(MACHINES)
        instance = attached(made, driver)
        with job(made) as program:
            assert program.tell("resnet 2") == {"calls": 2, "wrong": 0}
            assert program.tell("large 200")["wrong"] == 0
            program.tell("begin 30")
            pid = worker_of(instance)
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: _served_anew(instance, pid), "another worker")
            assert program.tell("resnet 1") == {"calls": 1, "wrong": 0}
            seen = program.tell("end")
            assert seen["calls"] > 0
            assert (seen["wrong"], seen["late"], seen["lost"], seen["errors"]) == (0, 0, 0, [])
        assert made.front.run("detach", instance).returncode == 0
        assert left(MACHINES) == before
        for machine in MACHINES:
            state = made.machines[machine].home / "net"
            held = [path for path in state.glob("*.json") if "held" in path.read_text()]
            assert held == []


def _served_anew(instance: str, before: int) -> int | None:
    found = titled(1, f"eais-worker {instance}")
    return found.pid if found is not None and found.pid != before else None
