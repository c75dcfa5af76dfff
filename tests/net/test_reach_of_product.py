"""Two tenants, a bystander, and a pool: who reaches what by the vNICs that the pool has planned."""

from __future__ import annotations

import fcntl
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from eais_server.net.links.entering import in_namespace
from tests.net.machines import Site, join, site
from tests.net.reach import ip, place

pytestmark = pytest.mark.net("vxlan")
#: A refusal is an answer, too: what must not be reached keeps silent, or can't even be sent.
NEVER_S = 0.7


@dataclass(frozen=True)
class Instance:
    """A tenant's, on the back-end `b`, and where its front-end has it."""

    machine: str
    address: str
    port: int
    interface: str


@dataclass(frozen=True)
class Stage:
    """`f` and `g` have an instance each; `c` has none."""

    site: Site
    ours: Instance
    theirs: Instance

    def described(self, machine: str) -> dict[str, Any]:
        """The vNIC that a machine's instance has."""
        (instance,) = self.site.machines[machine].data("list")["instances"]
        said = self.site.machines[machine].data("describe", instance["id"])
        return dict(said["vnic"])

    @property
    def planes(self) -> list[tuple[str, int]]:
        """Of the manager and of the listener: user and management."""
        (host,) = self.site.back.data("host", "list")["hosts"]
        ready = json.loads((self.site.back.pools / "local/ready.json").read_text())
        manager = [(ready[name]["address"], ready[name]["port"]) for name in ("user", "management")]
        texts = [host[name] for name in ("user_plane", "management_plane")]
        return [*manager, *((each.split(":")[0], int(each.split(":")[1])) for each in texts)]


SAME = """
[vnic.tenants.default]
network = "10.9.0.0/24"
cap = "500Mbit"
[vnic.tenants.globex]
network = "10.9.0.0/24"
"""


@pytest.fixture(scope="module", params=["", SAME], ids=["apart", "of one network"])
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    with site(tmp_path_factory.mktemp("site"), "vxlan", "g", "c", settings=request.param) as made:
        if not request.param:  # else the pool's file has made it
            made.back.run("tenant", "create", "globex")
        join(made, "g", "globex")
        yield Stage(made, attached(made, "f"), attached(made, "g"))


def attached(made: Site, name: str) -> Instance:
    machine = made.machines[name]
    found = machine.data("attach", "--type", "cpu.1", "--vnic", "vxlan")
    (worker,) = found["workers"]
    address, _, port = worker["address"].partition(":")
    interface = str(machine.data("describe", found["id"])["vnic"]["interface"])
    return Instance(name, address, int(port), interface)


def reaches(machine: str, address: str, port: int, device: str = "") -> bool:
    """Whether anything there answers a TCP connection, by that interface or as routes say."""

    def tried() -> bool:
        with socket.socket() as made:
            made.settimeout(NEVER_S)
            if device:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
            try:
                made.connect((address, port))
            except ConnectionRefusedError:
                return True
            except OSError:
                return False
            return True

    return in_namespace(place(machine), tried)


def test_addresses_are_of_the_tenant_s_network(stage: Stage) -> None:
    tenants = {each["name"]: each for each in stage.site.back.data("tenant", "list")["tenants"]}
    ours, theirs = (IPv4Network(tenants[name]["vnic"]["network"]) for name in ("default", "globex"))
    assert IPv4Address(stage.ours.address) in ours
    assert IPv4Address(stage.theirs.address) in theirs
    assert stage.ours.address != stage.theirs.address
    cap = tenants["default"]["vnic"]["cap_bytes_per_s"]
    assert stage.described("f")["cap_bytes_per_s"] == cap
    if cap:
        asked = stage.site.front.run("attach", "--type", "cpu.1", "--vnic-cap", "1Gbit")
        assert "carries 500 Mbit/s at most" in asked.stderr


def test_each_reaches_its_own_and_no_other_port_of_it(stage: Stage) -> None:
    for own in (stage.ours, stage.theirs):
        assert reaches(own.machine, own.address, own.port, own.interface)
        for port in (22, own.port + 1, 7443):
            assert not reaches(own.machine, own.address, port, own.interface)


def test_no_tenant_reaches_another_s(stage: Stage) -> None:
    for own, other in ((stage.ours, stage.theirs), (stage.theirs, stage.ours)):
        assert not reaches(own.machine, other.address, other.port, own.interface)
        assert not reaches(own.machine, other.address, other.port, "uplink")
        with _route(own.machine, other.address):
            assert not reaches(own.machine, other.address, other.port)


def test_no_plane_of_the_pool_is_reached_by_a_vnic(stage: Stage) -> None:
    for address, port in stage.planes:
        assert reaches("f", address, port)
        assert not reaches("f", address, port, stage.ours.interface)


def test_a_bystander_reaches_no_instance_whatever_its_routes(stage: Stage) -> None:
    for instance in (stage.ours, stage.theirs):
        with _route("c", instance.address):
            assert not reaches("c", instance.address, instance.port)


def test_other_programs_of_the_back_end_reach_no_instance(stage: Stage) -> None:
    for instance in (stage.ours, stage.theirs):
        assert not reaches("b", instance.address, instance.port)


def test_a_front_end_is_reached_by_nobody(stage: Stage) -> None:
    front = in_namespace(place("f"), partial(_address_of, stage.ours.interface))
    with in_namespace(place("f"), partial(socket.create_server, ("", 0))) as listening:
        port = int(listening.getsockname()[1])
        assert reaches("b", "10.77.0.2", port)
        assert not reaches("b", front, port)
        with _route("c", front, "10.77.0.2"):
            assert not reaches("c", front, port)


def _address_of(interface: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        asked = struct.pack("256s", interface.encode())
        return socket.inet_ntoa(fcntl.ioctl(made, 0x8915, asked)[20:24])  # SIOCGIFADDR


@contextmanager
def _route(machine: str, address: str, by: str = "10.77.0.1") -> Iterator[None]:
    """The way to an address by the back-end's place on the wire, or another's."""
    words = ("-n", place(machine).name, "route")
    way = (f"{address}/32", "via", by, "dev", "uplink", "metric", "5")
    ip(*words, "add", *way)
    try:
        yield
    finally:
        ip(*words, "delete", *way)
