"""Kernels set as LVS, kube-proxy or hardening guides have them: vNICs work there."""

from __future__ import annotations

from pathlib import Path

import pytest

from eais_server.net.links.entering import in_namespace
from tests.net.machines import site
from tests.net.reach import place

DRIVERS = [
    pytest.param("veth", marks=pytest.mark.net("veth")),
    pytest.param("vxlan", marks=pytest.mark.net("vxlan")),
    pytest.param("wireguard", marks=pytest.mark.net("wireguard")),
]
SETTINGS = {"arp_ignore": "2", "arp_announce": "2", "arp_filter": "1", "rp_filter": "1"}


def _set() -> None:
    for name, value in SETTINGS.items():
        for which in ("all", "default"):
            Path(f"/proc/sys/net/ipv4/conf/{which}/{name}").write_text(value)


@pytest.mark.parametrize("driver", DRIVERS)
def test_strict_settings_of_all_interfaces(tmp_path: Path, driver: str) -> None:
    with site(tmp_path, driver) as made:
        for machine in ("b", "f"):
            in_namespace(place(machine), _set)
        attached = made.front.data("attach", "--type", "cpu.1", "--vnic", driver)
        described = made.front.data("describe", str(attached["id"]))
        # What is attached outlives its agent: wireguard-go, too.
        assert made.front.run("detach", str(attached["id"])).returncode == 0
        # The listener was asked by the vNIC.
        assert (described["sessions"], described["sessions_unknown"]) == ([], None)
