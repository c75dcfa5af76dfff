"""An instance that moves between back-ends under the calls of two programs, by each driver."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from eais.net.asking import NetAgent
from eais.net.messages import key_of
from eais.net.plan import Side
from eais_client.vnic_ends import LEAVE_WITHIN_S
from tests.net.machines import Site, site
from tests.net.program import Job, job
from tests.system.stack import WAIT_S, eventually

DRIVERS = [
    pytest.param(driver, marks=pytest.mark.net(driver)) for driver in ("veth", "vxlan", "wireguard")
]


@contextlib.contextmanager
def back_end(site: Site, name: str) -> Iterator[None]:
    """A machine joins the pool with its listener, under its own name."""
    machine = site.machines[name]
    token = site.back.data("token", "create", "--for", "listener", "--name", name)
    where = ("--pool", str(token["enrolment"]), "--address", machine.address, "--name", name)
    up = machine.run("listener", "up", *where, "--cpu-cores", "2", stdin=f"{token['token']}\n")
    assert up.returncode == 0, up.stderr
    try:
        eventually(lambda: _offers(site, name), "a back-end whose agent is known")
        yield
    finally:
        machine.run("listener", "down", "--name", name)


def _offers(site: Site, name: str) -> bool | None:
    found = {host["host"]: host["net_drivers"] for host in site.back.data("host", "list")["hosts"]}
    return bool(found.get(name)) or None


def ends(site: Site, driver: str) -> list[str]:
    """The back-ends to which there is an end at the front-end."""
    agent = NetAgent(site.agents["b" if driver == "veth" else "f"].socket)
    keys = [key_of(each.key) for each in agent.status().vnics]
    return [key.host for key in keys if key.side is Side.FRONTEND]


def attached(site: Site, driver: str) -> str:
    """An instance that is reached by `driver`."""
    made = site.front.data("attach", "--type", "cpu.1", "--vnic", driver)
    assert made["vnic"]["driver"] == driver
    return str(made["id"])


def drain(site: Site, instance: str) -> str:
    """Have the instance move; where it is then."""
    left = str(site.described(instance)["host"])
    assert site.back.run("drain", left).returncode == 0
    assert site.back.run("host", "uncordon", left).returncode == 0
    now = str(site.described(instance)["host"])
    assert now != left
    return now


def await_one_end(site: Site, driver: str, host: str) -> None:
    """Wait until the front-end has an end to `host`, and to no other.

    A connection that nobody answers any more keeps the old one for as long as programs allow it.
    """
    only, within_s = f"an end to {host} alone", LEAVE_WITHIN_S + WAIT_S
    eventually(lambda: ends(site, driver) == [host] or None, only, within_s)


@contextlib.contextmanager
def two_programs(site: Site) -> Iterator[None]:
    """Both call without a pause, each on streams of its own kind; no call of theirs is lost."""
    with job(site, EAIS_TRANSPORT="h2") as one, job(site, EAIS_TRANSPORT="grpcio") as other:
        programs: tuple[Job, ...] = (one, other)
        for program in programs:
            program.tell("begin 30")
        yield
        for program in programs:
            seen = program.tell("end")
            assert seen["calls"] > 0
            assert (seen["wrong"], seen["late"], seen["lost"], seen["errors"]) == (0, 0, 0, [])


@pytest.mark.parametrize("driver", DRIVERS)
def test_no_call_is_lost_and_the_way_to_where_it_was_goes(tmp_path: Path, driver: str) -> None:
    with site(tmp_path, driver, "c") as made, back_end(made, "c"):
        instance = attached(made, driver)
        with two_programs(made):
            for _ in range(3):  # there, back and there again
                await_one_end(made, driver, drain(made, instance))
        assert made.front.run("detach", instance).returncode == 0
        assert ends(made, driver) == []


@pytest.mark.net("vxlan")
def test_a_front_ends_agent_that_is_away_costs_time_and_no_call(tmp_path: Path) -> None:
    with site(tmp_path, "vxlan", "c") as made, back_end(made, "c"):
        instance = attached(made, "vxlan")
        with two_programs(made):
            made.agents["f"].kill()
            now = drain(made, instance)
            made.agents["f"].start()
            await_one_end(made, "vxlan", now)
        assert made.front.run("detach", instance).returncode == 0
