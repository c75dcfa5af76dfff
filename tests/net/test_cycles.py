"""Attach and detach again and again: nothing piles up on either machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.net.machines import Agent, Site, left, site
from tests.net.program import Job

MACHINES = ("b", "f")


def cycles(made: Site, driver: str, count: int) -> None:
    with made.front.program("-m", "tests.net.attaching") as process:
        program = Job(process)
        program.tell("")
        for _ in range(count):
            assert program.tell(driver)["driver"] == driver


def descriptors(agent: Agent) -> int:
    assert agent.process is not None
    return len(os.listdir(f"/proc/{agent.process.pid}/fd"))


def held(made: Site) -> list[str]:
    """The ends that agents have written down, but for tombstones."""
    files = (path for name in MACHINES for path in (made.machines[name].home / "net").glob("*"))
    return [path.name for path in files if path.is_file() and '"held"' in path.read_text()]


@pytest.mark.parametrize(
    ("driver", "count"),
    [
        pytest.param("veth", 5, marks=pytest.mark.net("veth")),
        pytest.param("vxlan", 5, marks=pytest.mark.net("vxlan")),
        pytest.param("wireguard", 5, marks=pytest.mark.net("wireguard")),
        pytest.param("vxlan", 1_000, marks=[pytest.mark.net("vxlan"), pytest.mark.slow]),
    ],
)
def test_nothing_piles_up(tmp_path: Path, driver: str, count: int) -> None:
    with site(tmp_path, driver) as made:
        cycles(made, driver, 2)
        before, open_before = left(MACHINES), list(map(descriptors, made.agents.values()))
        cycles(made, driver, count)
        assert left(MACHINES) == before
        assert list(map(descriptors, made.agents.values())) == open_before
        assert held(made) == []
        assert made.front.data("list")["instances"] == []
