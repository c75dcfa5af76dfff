"""`eais net`: the agent that it becomes, what that has made, and what this machine lacks."""

from __future__ import annotations

import json
import sys

import pytest

from eais.net.messages import plan_message
from eais.net.plan import VXLAN, NetPlan, Side, VnicKey
from eais.rpc.v1 import net_pb2
from eais.testing import FakeNetAgent
from eais_client.cli.testing import FakeOutside

KEY = VnicKey("pool-0a0b0c0d", "ei-7f3a", "rack1", Side.BACKEND)
PLAN = NetPlan(
    KEY, "fake0", "acme", 1 << 20, VXLAN, "198.18.0.2", "198.18.0.3",
    peer_underlay="10.0.0.2", number=9, port=4789, owner="eais://pool/listener/rack1",
)  # fmt: skip


def one(name: str, missing: str = "", hint: str = "", how: str = "") -> dict[str, str]:
    return {"name": name, "missing": missing, "help": hint, "how": how}


def test_the_agent_is_what_the_command_becomes(nowhere: FakeOutside) -> None:
    said = nowhere.run(
        *("net", "agent", "--trust", "a.pem", "--trust", "b.pem", "--underlay", "10.1.2.4"),
        *("--user", "eais", "--netns", "/run/netns/front", "--socket", "s", "--state-dir", "d"),
    )
    assert (said.code, said.err) == (0, "")
    assert nowhere.replaced_by == [
        *(sys.executable, "-m", "eais_server.net", "--trust", "a.pem", "--trust", "b.pem"),
        *("--user", "eais", "--netns", "/run/netns/front", "--underlay", "10.1.2.4"),
        *("--socket", "s", "--state-dir", "d"),
    ]


def test_the_agent_trusts_nobody_unless_it_is_told_whom(nowhere: FakeOutside) -> None:
    said = nowhere.run("net", "agent")
    assert said.code == 2
    assert "--trust" in said.err
    assert nowhere.replaced_by == []


@pytest.mark.parametrize("asked", [["--socket", ""], []])
def test_status_shows_the_agents_drivers_and_ends(eais: FakeOutside, asked: list[str]) -> None:
    path = eais.ends.agent.path
    if asked:
        asked = ["--socket", str(path)]
    else:
        eais.environ["EAIS_NET_AGENT"] = str(path)
    with FakeNetAgent(path) as agent:
        agent.said.drivers.add(name="vxlan", how="kernel")
        agent.said.drivers.add(name="wireguard", missing="there is no wireguard-go")
        alone = eais.run("net", "status", *asked)
        text = plan_message(PLAN).SerializeToString()
        agent.ask().create(net_pb2.SignedNetPlan(plan=text))
        said = eais.run("net", "status", *asked)
        data = json.loads(eais.run("net", "status", *asked, "-o", "json").out)
        wide = eais.run("net", "status", *asked, "-o", "wide").out
    assert alone.out.endswith("No vNICs of yours.\n")
    assert "vxlan:      yes, by kernel" in said.out
    assert "wireguard:  no: there is no wireguard-go" in said.out
    assert said.out.splitlines()[-1].split()[:7] == [
        *("ei-7f3a", "rack1", "backend", "vxlan", "eaisfake", "198.18.0.2", "->"),
    ]
    assert wide.splitlines()[-1].split()[-1] == PLAN.owner
    (end,) = data["vnics"]
    assert (end["instance"], end["side"], end["peer"]) == ("ei-7f3a", "backend", "198.18.0.3")
    assert (end["generation"], end["cap_bytes_per_s"]) == (1 << 20, None)


def test_status_without_an_agent(eais: FakeOutside) -> None:
    said = eais.run("net", "status", "--socket", str(eais.ends.agent.path))
    assert said.code == 2
    assert said.err.startswith("error: NET_AGENT: no network agent answers at ")


def test_check_says_what_is_missing_and_what_would_help(nowhere: FakeOutside) -> None:
    nowhere.net_found = {
        "drivers": [one("veth", how="kernel"), one("vxlan", "no module", "`modprobe vxlan`")],
        "needs": [one("CAP_NET_ADMIN", how="held")],
        "notes": [one("wireguard-go", "it isn't installed", "install it")],
    }
    said = nowhere.run("net", "check")
    assert said.code == 0
    assert (
        said.out
        == """\
This machine can do veth.

Drivers
  ok    veth   kernel
  no    vxlan  no module
               `modprobe vxlan`

Needs
  ok    CAP_NET_ADMIN  held

Beside
  note  wireguard-go  it isn't installed
                      install it
"""
    )
    assert json.loads(nowhere.run("net", "check", "-o", "json").out) == nowhere.net_found


def test_check_ends_with_1_where_no_driver_can_be_done(nowhere: FakeOutside) -> None:
    nowhere.net_found["drivers"] = [one("veth", "there is no CAP_NET_ADMIN")]
    nowhere.net_found["needs"] = [one("CAP_NET_ADMIN", "not held", "be the superuser")]
    nowhere.net_found["notes"] = [one("ip_forward", how="off")]
    said = nowhere.run("net", "check")
    assert said.code == 1
    assert said.out.startswith("This machine can do no driver.\n")
