"""The vNICs of the kernel by the command line: attach, detach, list, describe."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from eais.errors import make_error
from eais.net.plan import DRIVERS, KERNEL_DRIVERS
from eais.rpc.v1 import net_pb2, pool_pb2
from eais.testing import FakeNetAgent
from eais_client.cli.testing import FakeOutside
from eais_client.cli.vnic_options import vnic_drivers
from eais_client.testing.vnics import fake_vnic, planned_vnic
from eais_client.vnic_end import Vnic


@pytest.fixture
def agent(eais: FakeOutside) -> Iterator[FakeNetAgent]:
    with FakeNetAgent(eais.ends.agent.path) as made:
        yield made


def there(agent: FakeNetAgent) -> list[tuple[str, int]]:
    return [(key.instance, plan.generation) for key, plan in agent.plans.items()]


@pytest.mark.parametrize("vnic", ["", "auto", *KERNEL_DRIVERS])
def test_attach_offers_what_this_host_can_and_has_its_end_made(
    eais: FakeOutside, agent: FakeNetAgent, vnic: str
) -> None:
    said = eais.run("attach", "--type", "cpu.1", *(["--vnic", vnic] if vnic else []))
    assert (said.code, said.err) == (0, "")
    (asked,) = eais.pool.attaches
    assert (asked.vnic, asked.net_offer) == (vnic, agent.said)
    assert there(agent) == [("ei-0001", 1 << 20)]


@pytest.mark.parametrize("vnic", ["loopback", "host"])
def test_attach_without_a_kernels_driver_asks_no_agent(
    eais: FakeOutside, agent: FakeNetAgent, vnic: str
) -> None:
    agent.fail_next("offer", make_error("NETDEV", "asked"))
    assert eais.run("attach", "--type", "cpu.1", "--vnic", vnic).err == ""
    (asked,) = eais.pool.attaches
    assert (asked.vnic, asked.HasField("net_offer")) == (vnic, False)
    assert there(agent) == []


def test_attach_by_a_kernels_driver_needs_an_agent(eais: FakeOutside) -> None:
    said = eais.run("attach", "--type", "cpu.1", "--vnic", "vxlan")
    text = f"error: NET_AGENT: no network agent answers at {eais.ends.agent.path} "
    assert (said.code, said.err) == (2, f"{text}(start it on this host: eais net agent)\n")
    assert eais.pool.attaches == []


def test_a_word_that_is_no_driver_is_refused_with_those_there_are(eais: FakeOutside) -> None:
    said = eais.run("attach", "--vnic", "ipvlan")
    words = ", ".join(DRIVERS)
    assert said.err == f"error: ARGUMENT: --vnic 'ipvlan' is no driver (one of {words})\n"
    assert said.code == 2


@pytest.mark.parametrize("verb", [("create", "cpu.1"), ("attach", "--type", "cpu.1")])
def test_a_cap_belongs_to_the_instance(eais: FakeOutside, verb: tuple[str, ...]) -> None:
    assert eais.run(*verb, "--vnic-cap", "100Mbit").err == ""
    assert eais.pool.instances["ei-0001"].policy.vnic_cap_bytes_per_s == 12_500_000


def test_a_cap_that_is_no_rate_is_refused(eais: FakeOutside) -> None:
    said = eais.run("attach", "--type", "cpu.1", "--vnic-cap", "100Mb")
    assert said.err.startswith("error: ARGUMENT: a rate is such as 100Mbit or 12MB, not '100Mb' (")
    assert (said.code, eais.pool.attaches) == (2, [])


def test_drivers_are_completed() -> None:
    assert vnic_drivers("v") == ["veth", "vxlan"]
    assert vnic_drivers("") == list(DRIVERS)


@pytest.mark.parametrize("type", ["new", "old"])
def test_attach_that_can_not_be_reached_is_undone(
    eais: FakeOutside, agent: FakeNetAgent, type: str
) -> None:
    eais.run("create", "cpu.1")
    agent.fail_next("create", make_error("NETDEV", "the kernel refuses eais0"))
    said = eais.run("attach", *(["--type", "cpu.1"] if type == "new" else ["ei-0001"]))
    assert (said.code, said.err) == (2, "error: NETDEV: the kernel refuses eais0\n")
    assert [(i.id, i.state) for i in eais.pool.instances.values()] == [
        ("ei-0001", pool_pb2.BINDABLE)
    ]


def test_what_was_attached_before_stays_so(eais: FakeOutside, agent: FakeNetAgent) -> None:
    eais.run("attach", "--type", "cpu.1")
    agent.fail_next("create", make_error("NETDEV", "the kernel refuses eais0"))
    said = eais.run("attach", "ei-0001", "--ttl", "1h")
    assert (said.code, said.err) == (2, "error: NETDEV: the kernel refuses eais0\n")
    assert eais.pool.instances["ei-0001"].state == pool_pb2.IN_USE


def test_start_has_the_end_made(eais: FakeOutside, agent: FakeNetAgent) -> None:
    eais.run("attach", "--type", "cpu.1", "--no-start")
    assert there(agent) == []
    eais.run("start", "ei-0001")
    assert there(agent) == [("ei-0001", 1 << 20)]


@pytest.mark.parametrize("verb", ["detach", "stop"])
def test_what_ends_the_lease_takes_the_end_away(
    eais: FakeOutside, agent: FakeNetAgent, verb: str
) -> None:
    eais.run("attach", "--type", "cpu.1")
    eais.run("attach", "--type", "cpu.2")
    assert eais.run(verb, "ei-0001").code == 0
    assert there(agent) == [("ei-0002", 1 << 20)]


def test_detach_ends_all_the_same_when_the_agent_does_not_answer(
    eais: FakeOutside, agent: FakeNetAgent, caplog: pytest.LogCaptureFixture
) -> None:
    eais.run("attach", "--type", "cpu.1")
    for _ in range(2):  # for what is left of others, too
        agent.fail_next("status", make_error("NETDEV", "not now"))
    assert eais.run("detach", "ei-0001").code == 0
    assert "the vNIC of ei-0001 may be left on this host: NETDEV: not now" in caplog.text
    assert there(agent) == [("ei-0001", 1 << 20)]
    eais.run("list")
    assert there(agent) == []


@pytest.mark.parametrize(
    "command", [("list",), ("attach", "--type", "cpu.1"), ("detach", "ei-0001")]
)
def test_what_is_left_of_before_is_taken_away(
    eais: FakeOutside, agent: FakeNetAgent, command: tuple[str, ...]
) -> None:
    eais.run("attach", "--type", "cpu.2")
    eais.ends.make(Vnic.of_message(planned_vnic("ei-dead", n=77)))
    eais.ends.make(Vnic.of_message(planned_vnic("ei-beef", n=78, owner="spiffe://p/manager")))
    assert eais.run(*command).code == 0
    assert "ei-dead" not in [instance for instance, _ in there(agent)]
    assert ("ei-beef", 1) in there(agent)


def test_tidying_fails_no_command(
    eais: FakeOutside, agent: FakeNetAgent, caplog: pytest.LogCaptureFixture
) -> None:
    eais.ends.make(fake_vnic("ei-dead"))
    agent.fail_next("status", make_error("NETDEV", "not now"))
    assert eais.run("list").code == 0
    agent.fail_next("destroy", make_error("NETDEV", "busy"))
    assert eais.run("list").code == 0
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "vNICs of before may be left on this host: NETDEV: not now",
        "the vNIC of ei-dead is left on this host: NETDEV: busy",
    ]


def test_an_agent_that_is_away_is_said_where_it_matters(
    eais: FakeOutside, agent: FakeNetAgent, caplog: pytest.LogCaptureFixture
) -> None:
    away = make_error("NET_AGENT", "no network agent answers at net.sock")
    for kernels in (False, True):
        eais.run("attach", "--type", "cpu.1")
        instance = max(eais.pool.instances)
        if not kernels:
            eais.pool.instances[instance].vnic.CopyFrom(pool_pb2.Vnic(driver="loopback"))
        for command in (("list",), ("describe", instance)):
            agent.fail_next("status", away)
            assert eais.run(*command).code == 0
        caplog.clear()
        for _ in range(2):
            agent.fail_next("status", away)
        assert eais.run("detach", instance).code == 0
        said = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
        expected = f"the vNIC of {instance} may be left on this host: {away}"
        assert said == ([expected] if kernels else [])


def test_describe_says_all_of_the_vnic(eais: FakeOutside, agent: FakeNetAgent) -> None:
    eais.run("attach", "--type", "cpu.1")
    vnic = eais.pool.instances["ei-0001"].vnic
    vnic.cap_bytes_per_s = 12_500_000
    vnic.counters.CopyFrom(
        net_pb2.NetCounters(bytes_in=5, packets_in=1, bytes_out=7049, packets_out=2, dropped_in=3)
    )
    lines = eais.run("describe", "ei-0001").out.splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("vNIC:"))
    assert [line.split(maxsplit=1)[1] for line in lines[begin : begin + 5]] == [
        "198.18.0.2 (vxlan; only the bound front-end's packets pass, and mTLS; its tunnel isn't "
        "encrypted)",
        "end:    198.18.0.3, by eaisfake",
        "vxlan was asked for",
        "100 Mbit/s each way",
        "5 B in 1 packets to it, 7.05 kB in 2 from it; 3 dropped",
    ]
    data = eais.run("describe", "ei-0001", "-o", "json").data["vnic"]
    assert data == {
        "driver": "vxlan",
        "address": "198.18.0.2",
        "peer": "198.18.0.3",
        "isolation": vnic.isolation,
        "why": "vxlan was asked for",
        "cap_bytes_per_s": 12_500_000,
        "counters": {
            "bytes_in": 5,
            "bytes_out": 7049,
            "packets_in": 1,
            "packets_out": 2,
            "dropped_in": 3,
            "dropped_out": 0,
        },
        "interface": "eaisfake",
        "mtu": None,
    }


def test_describe_says_whose_the_other_end_is(eais: FakeOutside, agent: FakeNetAgent) -> None:
    eais.run("attach", "--type", "cpu.1")
    agent.plans.clear()
    text = eais.run("describe", "ei-0001").out
    assert "198.18.0.3, which this host's network agent doesn't tell of: does it run?" in text
    eais.pool.instances["ei-0001"].vnic.ClearField("plan")
    assert "198.18.0.3, another front-end's" in eais.run("describe", "ei-0001").out


def test_list_wide_shows_the_driver(eais: FakeOutside, agent: FakeNetAgent) -> None:
    eais.run("attach", "--type", "cpu.1")
    heading, row = eais.run("list", "-o", "wide").out.splitlines()
    assert (heading.split()[-1], row.split()[-1]) == ("VNIC", "vxlan")
