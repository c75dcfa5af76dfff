"""An agent that isn't the superuser: with CAP_NET_ADMIN alone, as its unit has it; and without."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from eais.errors import EaisError
from eais.identity import Identity
from eais.net.asking import NetAgent
from eais.net.plan import VETH, VXLAN, WIREGUARD, NetPlan, Side, VnicKey
from eais.net.signing import sign_plan
from eais.rpc.v1 import net_pb2
from eais.tls import Bundle
from eais_pool.authority import Authority
from eais_server.net.firewall.firewall import Firewall
from eais_server.net.links import netlink
from eais_server.net.links.entering import in_namespace
from tests.system.stack import eventually

pytestmark = pytest.mark.net("all")

POOL: Final = "pool-0a0b0c0d"
HERE: Final = Path("/run/netns/eaistestun")
AGENT_UID, LISTED_UID, OTHER_UID = 64_101, 64_102, 64_103
UNDERLAY: Final = "10.77.0.1"
NET_ADMIN: Final = "+net_admin"
# wireguard-go has its sockets in one place alone, the host's: what is tested has a /run of its own.
# And its unit's ProtectKernelTunables.
OWN_RUN: Final = (
    "mount --bind {run} /run && mount --bind /proc/sys /proc/sys"
    " && mount -o remount,bind,ro /proc/sys && exec "
)
ASK: Final = """
import sys
from pathlib import Path
from eais.errors import EaisError
from eais.net.asking import NetAgent
from eais.rpc.v1 import net_pb2
agent = NetAgent(Path(sys.argv[1]), timeout_s=10)
try:
    agent.create(net_pb2.SignedNetPlan.FromString(bytes.fromhex(sys.argv[2])))
    print(len(agent.status().vnics))
except EaisError as error:
    print(error)
"""


def as_user(uid: int, capability: str = "") -> list[str]:
    """Before a command: it has that one capability, whatever it was started with."""
    some = f"-all{capability and ','}{capability}"
    ids = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return [
        "setpriv",
        *ids,
        *(f"--{kind}={some}" for kind in ("inh-caps", "ambient-caps", "bounding-set")),
    ]


@dataclass
class Host:
    """A namespace with an agent of an ordinary user's in it."""

    directory: Path
    bundle: Bundle
    process: subprocess.Popen[str] | None = None

    @property
    def agent(self) -> NetAgent:
        return NetAgent(self.directory / "net.sock", timeout_s=10)

    def start(self, capability: str, *, before: str = "", underlay: str = UNDERLAY) -> None:
        """`before`: commands in its own mount namespace."""
        command = [*as_user(AGENT_UID, capability), sys.executable, "-m", "eais_server.net"]
        command += ["--trust", str(self.directory / "ca.pem"), "--underlay", underlay]
        command += ["--socket", str(self.agent.path), "--user", str(LISTED_UID)]
        command += ["--state-dir", str(self.directory / "agent")]
        shell = before + OWN_RUN.format(run=self.directory / "run") + shlex.join(command)
        whole = ["unshare", "--mount", "sh", "-c", shell]
        self.process = in_namespace(
            HERE, lambda: subprocess.Popen(whole, stderr=subprocess.PIPE, text=True)
        )

    def serve(
        self, capability: str = NET_ADMIN, *, before: str = "", underlay: str = UNDERLAY
    ) -> None:
        self.start(capability, before=before, underlay=underlay)
        eventually(self.answers, "an agent that answers")

    def answers(self) -> bool | None:
        with suppress(EaisError):
            return self.agent.offer().agent != ""
        return None

    def plan(self, driver: str, instance: str, last: int) -> net_pb2.SignedNetPlan:
        plan = NetPlan(
            VnicKey(POOL, instance, "rack1", Side.BACKEND), self.agent.offer().agent, "acme", 1,
            driver, f"198.18.0.{last}", f"198.18.0.{last + 1}", peer_underlay="10.77.0.2",
            peer_agent="fedcba9876543210", number=9, port=51_999, peer_port=51_998,
            peer_public_key=bytes(range(32)),
        )  # fmt: skip
        return sign_plan(plan, self.bundle)

    def ask_as(self, uid: int, signed: net_pb2.SignedNetPlan) -> str:
        """What that user, from within the namespace, is told."""
        command = [*as_user(uid), sys.executable, "-c", ASK, str(self.agent.path)]
        command.append(signed.SerializeToString().hex())
        done = in_namespace(
            HERE, lambda: subprocess.run(command, capture_output=True, text=True, check=True)
        )
        return done.stdout

    def end(self) -> str:
        """Have it end; what it has said."""
        if self.process is None:
            return ""
        self.process.terminate()
        _, said = self.process.communicate(timeout=20)
        self.process = None
        return said


def kinds() -> set[str]:
    links = in_namespace(HERE, netlink.all_links)
    return {link.kind for link in links if link.name.startswith("eais")}


def ipv6_of(interface: str) -> str:
    words = ["ip", "-o", "-6", "address", "show", "dev", interface]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def ordinary(command: Sequence[str]) -> bool:
    """Whether an ordinary user may run what is installed here."""
    return subprocess.run([*as_user(OTHER_UID), *command], capture_output=True).returncode == 0


@pytest.fixture
def host() -> Iterator[Host]:
    if any(shutil.which(name) is None for name in ("ip", "setpriv", "unshare")):
        pytest.skip("needs iproute2 and util-linux")
    if not ordinary([sys.executable, "-c", "import eais_server.net"]):
        pytest.skip("what is installed here is for the superuser alone")
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="eaistest") as name:
        directory = Path(name)
        authority = Authority.create(directory / "ca", POOL, now)
        (directory / "ca.pem").write_bytes(authority.ca_pem)
        directory.chmod(0o755)
        (directory / "run" / "wireguard").mkdir(parents=True)
        for path in (directory, directory / "run" / "wireguard"):
            shutil.chown(path, AGENT_UID, AGENT_UID)
        host = Host(directory, authority.bundle(Identity.manager(POOL), now))
        subprocess.run(["ip", "netns", "add", HERE.name], check=True)
        for words in (
            ["link", "add", "under0", "type", "veth", "peer", "name", "under1"],
            ["address", "add", f"{UNDERLAY}/24", "dev", "under0"],
        ):
            subprocess.run(["ip", "-n", HERE.name, *words], check=True)
        try:
            missing = Firewall("0" * 16, namespace=HERE).probe().missing
            if missing:
                pytest.skip(missing)
            yield host
        finally:
            with suppress(EaisError):
                for end in host.agent.status().vnics:
                    host.agent.destroy(VnicKey(POOL, end.key.instance, "rack1", Side.BACKEND))
            host.end()
            subprocess.run(["ip", "netns", "del", HERE.name], check=True)


@pytest.mark.parametrize("driver", [VXLAN, WIREGUARD])
def test_one_capability_is_enough(host: Host, driver: str) -> None:
    host.serve()
    offer = in_namespace(HERE, host.agent.offer)
    can = {one.name: one.missing for one in offer.drivers}
    if can[driver]:
        pytest.skip(can[driver])
    assert "CAP_SYS_ADMIN" in can[VETH]
    made = in_namespace(HERE, lambda: host.agent.create(host.plan(driver, "ei-1", 2)))
    assert made.mtu in (1450, 1440)
    assert len(kinds()) == 1
    assert in_namespace(HERE, lambda: ipv6_of(made.interface)) == ""
    # The next agent goes on with what is there, though it is nobody's child.
    host.end()
    host.serve()
    assert [end.interface for end in host.agent.status().vnics] == [made.interface]
    host.agent.destroy(VnicKey(POOL, "ei-1", "rack1", Side.BACKEND))
    assert kinds() == set()


def missing(host: Host, driver: str) -> str:
    """What it lacks for a driver, as it says."""
    offer = in_namespace(HERE, host.agent.offer)
    return {one.name: one.missing for one in offer.drivers}[driver]


def test_an_underlay_that_is_none_of_the_hosts_is_said(host: Host) -> None:
    host.serve(underlay="10.99.9.9")
    said = missing(host, VXLAN)
    assert said == "its --underlay 10.99.9.9 is none of this host's addresses"
    words = ["ip", "-n", HERE.name, "address", "add", "10.99.9.9/24", "dev", "under1"]
    subprocess.run(words, check=True)
    assert missing(host, VXLAN) == "", "at boot it may come later"
    assert "none of this host's addresses yet" in host.end()


def test_without_a_tun_device_wireguard_is_not_offered(host: Host) -> None:
    host.serve(before="mount -t tmpfs tmpfs /dev/net && ")
    said = missing(host, WIREGUARD)
    if said == "":
        pytest.skip("this kernel has WireGuard's module")
    assert "/dev/net/tun" in said
    assert missing(host, VXLAN) == ""


def test_without_it_nothing_is_begun_and_it_is_said_what_lacks(host: Host) -> None:
    host.start("")
    assert host.process is not None
    assert host.process.wait(20) == 2
    said = host.end()
    assert "Traceback" not in said
    (line,) = (line for line in said.splitlines() if line.startswith("error: "))
    assert line.startswith("error: NETDEV: ")
    assert "needs CAP_NET_ADMIN" in line


def test_who_is_listed_may_ask_and_who_is_not_is_told_so(host: Host) -> None:
    host.serve()
    assert "the user 64103" in host.ask_as(OTHER_UID, host.plan(VXLAN, "ei-1", 2))
    assert kinds() == set()
    assert host.ask_as(LISTED_UID, host.plan(VXLAN, "ei-1", 2)) == "1\n"
    assert kinds() == {"vxlan"}


def test_the_check_says_the_same_without_an_agent(host: Host) -> None:
    command = [sys.executable, "-m", "eais_server.net.checking"]
    for capability, status in (("", 1), (NET_ADMIN, 0)):
        whole = [*as_user(OTHER_UID, capability), *command]
        run = partial(subprocess.run, whole, capture_output=True, text=True, check=False)
        done = in_namespace(HERE, run)
        assert (done.returncode, done.stderr) == (status, "")
        found = json.loads(done.stdout)
        missing = {one["name"]: one["missing"] for one in found["drivers"]}
        assert bool(missing[VXLAN]) == (not capability)
        assert missing[VETH]
        assert all(bool(one["missing"]) != bool(one["how"]) for one in found["drivers"])
    assert kinds() == set()


def test_what_another_agent_has_left_is_named_and_left_alone(host: Host) -> None:
    """Its state directory was lost: the next one has another id, and touches nothing of it."""
    host.serve()
    made = in_namespace(HERE, lambda: host.agent.create(host.plan(VXLAN, "ei-1", 2)))
    lost = host.agent.offer().agent
    host.end()
    (host.directory / "agent").rename(host.directory / "lost")
    host.serve()
    with pytest.raises(EaisError, match=f"made by the network agent {lost}"):
        in_namespace(HERE, lambda: host.agent.create(host.plan(VXLAN, "ei-1", 2)))
    assert kinds() == {"vxlan"}
    left = leftovers_by(host)
    table = f"eais-{lost[:8]}"
    assert f"the interface {made.interface} and the table {table}, made by the agent {lost}" in left
    subprocess.run(
        ["ip", "netns", "exec", HERE.name, "sh", "-ec", left.rpartition("for good: ")[2]],
        check=True,
    )
    assert leftovers_by(host) == ""
    in_namespace(HERE, lambda: host.agent.create(host.plan(VXLAN, "ei-1", 2)))


def leftovers_by(host: Host) -> str:
    """What `eais net check` says of them."""
    words = [sys.executable, "-m", "eais_server.net.checking", "--socket", str(host.agent.path)]
    done = in_namespace(HERE, lambda: subprocess.run(words, capture_output=True, check=False))
    notes = json.loads(done.stdout)["notes"]
    return " ".join(
        f"{one['missing']}: {one['help']}" for one in notes if one["name"] == "leftovers"
    )
