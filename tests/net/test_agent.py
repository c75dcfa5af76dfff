"""A real agent, and a real kernel: killed at each step, it leaves what the next one puts right."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from resource import RLIMIT_NOFILE, prlimit

import pytest

from eais.errors import EaisError
from eais.identity import Identity
from eais.net.asking import NetAgent
from eais.net.plan import VETH, NetPlan, Side, VnicKey
from eais.net.signing import sign_plan
from eais.rpc.v1 import net_pb2
from eais_pool.authority import Authority
from eais_server.net.firewall import nft
from eais_server.net.firewall.firewall import Firewall
from eais_server.net.keeper import STEPS, points
from eais_server.net.links import netlink
from eais_server.net.links.entering import in_namespace
from tests.system.stack import eventually

pytestmark = pytest.mark.net("veth")

POOL = "pool-0a0b0c0d"
KEY = VnicKey(POOL, "ei-1", "rack1", Side.BACKEND)
BACK, FRONT = Path("/run/netns/eaistestagb"), Path("/run/netns/eaistestagf")


class Host:
    """A namespace with an agent in it, which is given another one."""

    def __init__(self, directory: Path) -> None:
        now = datetime.now(UTC)
        authority = Authority.create(directory / "ca", POOL, now)
        self.bundle = authority.bundle(Identity.manager(POOL), now)
        self.trusted, self.point = directory / "ca.pem", directory / "point"
        self.trusted.write_bytes(authority.ca_pem)
        self.directory = directory
        self.agent = NetAgent(directory / "net.sock", timeout_s=10)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "eais_server.net", "--trust", str(self.trusted)]
        command += ["--socket", str(self.agent.path), "--netns", str(FRONT)]
        command += ["--state-dir", str(self.directory / "agent")]
        command += ["--test-failpoints", str(self.point)]
        self.process = in_namespace(BACK, lambda: subprocess.Popen(command))
        eventually(self.answers, "an agent that answers")

    def ended(self) -> int:
        """How the agent that was started has ended; 0 where none was."""
        return self.process.wait(10) if self.process is not None else 0

    def terminate(self) -> None:
        if self.process is not None:
            self.process.terminate()

    def answers(self) -> bool | None:
        assert self.process is not None
        assert self.process.poll() is None
        try:
            return self.agent.offer().agent != ""
        except EaisError:
            return None

    def create(self, side: Side = Side.BACKEND) -> net_pb2.NetVnic:
        name = self.agent.offer().agent
        back, front = (BACK, "198.18.0.2"), (FRONT, "198.18.0.3")
        is_back = side is Side.BACKEND
        (here, own), (there, other) = (back, front) if is_back else (front, back)
        plan = NetPlan(
            KEY._replace(side=side), name, "acme", 1, VETH, own, other,
            peer_agent=name, peer_namespace=there.stat().st_ino,
        )  # fmt: skip
        signed = sign_plan(plan, self.bundle)
        return in_namespace(here, lambda: self.agent.create(signed))

    def there(self) -> list[str]:
        """Our interfaces in both namespaces; there is a firewall where there are some."""
        found = [
            link.name
            for path in (BACK, FRONT)
            for link in in_namespace(path, netlink.all_links)
            if link.name.startswith("eais")
        ]
        assert Firewall(self.agent.offer().agent, namespace=BACK).found() == bool(found)
        return found


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    if shutil.which("ip") is None:
        pytest.skip("needs iproute2, to make network namespaces")
    for path in (BACK, FRONT):
        subprocess.run(["ip", "netns", "add", path.name], check=True)
    host = Host(tmp_path)
    try:
        missing = Firewall("0" * 16, namespace=BACK).probe().missing
        if missing:
            pytest.skip(missing)
        host.start()
        yield host
    finally:
        host.terminate()
        status = host.ended()
        for path in (BACK, FRONT):
            subprocess.run(["ip", "netns", "del", path.name], check=True)
    assert status == 0


def test_it_ends_and_its_vnics_stay(host: Host) -> None:
    made = host.create()
    host.terminate()
    assert host.ended() == 0
    host.start()
    (seen,) = host.agent.status().vnics
    assert (seen.interface, seen.uid) == (made.interface, os.getuid())
    assert len(host.there()) == 2
    host.agent.destroy(KEY)
    assert host.there() == []


def _there(wall: Firewall) -> bool | None:
    return wall.found() or None


def test_what_a_flushed_ruleset_lays_bare_is_guarded_again(host: Host) -> None:
    host.create()
    host.create(Side.FRONTEND)
    agent = host.agent.offer().agent
    for namespace in (BACK, FRONT):
        wall = Firewall(agent, namespace=namespace)
        in_namespace(namespace, partial(nft.run, "flush ruleset"))
        eventually(partial(_there, wall), "the wall")
    host.agent.connect(KEY, [80])
    in_namespace(BACK, lambda: nft.run("flush ruleset"))
    host.agent.connect(KEY, [81])
    assert "81" in in_namespace(BACK, lambda: nft.run("list ruleset"))


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step(host: Host, step: str) -> None:
    deaths = 0
    for point in points(step):
        for act in (host.create, lambda: host.agent.destroy(KEY)):
            host.point.write_text(point)
            with suppress(EaisError):
                act()
            if not host.point.read_text():
                deaths += 1
                assert host.ended() == -signal.SIGKILL
                host.start()
            host.point.unlink(missing_ok=True)
            assert len(host.there()) == 2 * len(host.agent.status().vnics)
        host.agent.destroy(KEY)
        assert host.there() == []
    assert deaths or step == "drop"


def test_without_descriptors_it_says_so_and_leaves_nothing_half_made(host: Host) -> None:
    assert host.process is not None
    pid, said = host.process.pid, list[str]()
    taken = len(os.listdir(f"/proc/{pid}/fd"))
    soft, hard = prlimit(pid, RLIMIT_NOFILE)
    for spare in range(1, 40):  # the first is its line to who asks
        prlimit(pid, RLIMIT_NOFILE, (taken + spare, hard))
        try:
            host.create()
            break
        except EaisError as error:
            said.append(f"{error} {error.hint}")
        prlimit(pid, RLIMIT_NOFILE, (soft, hard))
        assert (host.there(), len(host.agent.status().vnics)) == ([], 0), said[-1]
    prlimit(pid, RLIMIT_NOFILE, (soft, hard))
    assert len(host.there()) == 2
    assert said
    assert [each for each in said if "too many" not in each.lower()] == []
