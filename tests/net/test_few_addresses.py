"""A pool whose network has room for one vNIC."""

from __future__ import annotations

from pathlib import Path

import pytest

from eais_server.net.links import netlink
from eais_server.net.links.entering import in_namespace
from tests.net.machines import Machine, site
from tests.net.test_main_job import attached

pytestmark = pytest.mark.net("vxlan")
#: Addresses 2 and 3 are a pair, 4 and 5 are one more.
NETWORK = "10.9.0.0/29"
PAIRS = 2


def ends(machine: Machine) -> set[str]:
    links = in_namespace(machine.namespace, netlink.all_links)
    return {link.name for link in links if link.name.startswith("eais")}


def test_when_all_addresses_are_taken_it_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    with site(tmp_path, "vxlan", settings=f'[vnic]\nnetwork = "{NETWORK}"\n') as made:
        front = made.front
        first, *more = [attached(made, "vxlan") for _ in range(PAIRS)]
        before = [ends(machine) for machine in (front, made.back)]
        said = front.run("attach", "--type", "cpu.1", "--vnic", "vxlan")
        assert said.stderr.startswith("error: ADDRESSES_EXHAUSTED: ")
        assert NETWORK in said.stderr
        assert said.returncode == 5
        assert [ends(machine) for machine in (front, made.back)] == before
        there = [each["id"] for each in front.data("list")["instances"]]
        assert sorted(there) == sorted([first, *more])
        assert front.run("detach", first).returncode == 0
        for instance in (attached(made, "vxlan"), *more):
            assert front.run("detach", instance).returncode == 0
