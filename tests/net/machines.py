"""Machines around one pool, each a network namespace with a home of its own, joined by a wire.

                     wire
    f 10.77.0.2 ─────────────── 10.77.0.1 b      the pool's manager, its listener, an agent
                 └───────────── 10.77.0.3 c      another back-end, where one is asked for

The wire is a bridge in a namespace of its own, so that a test may shape it, or cut it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from eais.errors import EaisError
from eais.net.asking import NetAgent
from eais.rpc.v1 import net_pb2
from eais_pool.authority import Authority
from eais_server.net.links.entering import in_namespace
from tests.net.reach import hosts, ip, place
from tests.system.stack import eventually
from tests.system.terminal import Terminal

WIRE: Final = "wire"
ADDRESSES: Final = {"b": "10.77.0.1", "f": "10.77.0.2", "c": "10.77.0.3", "g": "10.77.0.4"}
#: Models aren't measured here unasked, beside what is tested.
SETTINGS: Final = (
    "[manager]\nenrolment_port = 0\nprofile_after_s = 86400\n[listener]\ncpu_cores = 4\n"
)


@dataclass(frozen=True)
class Machine(Terminal):
    """A home, in a network namespace.

    Attributes:
        name: of the namespace, as `tests.net.reach.place` has it.
    """

    name: str = ""

    @property
    def namespace(self) -> Path:
        """Its file."""
        return place(self.name)

    @property
    def address(self) -> str:
        """On the wire."""
        return ADDRESSES[self.name]

    def run(
        self, *argv: str, timeout_s: float = 60, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `eais` there."""
        run = super().run
        return in_namespace(self.namespace, lambda: run(*argv, timeout_s=timeout_s, stdin=stdin))

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start `eais` there."""
        start = super().start
        return in_namespace(self.namespace, lambda: start(*argv))

    def program(self, *argv: str, **environ: str) -> subprocess.Popen[str]:
        """Start a Python program there; it reads and writes lines. `environ`: beside the user's."""
        return in_namespace(
            self.namespace,
            lambda: subprocess.Popen(
                [sys.executable, *argv],
                env={**self.environ, "PYTHONPATH": str(Path.cwd()), **environ},
                cwd=self.home,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ),
        )


@dataclass
class Agent:
    """A network agent of one or more machines."""

    machine: Machine
    trusted: Path
    given: list[Path] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    more: list[str] = field(default_factory=list)

    @property
    def socket(self) -> Path:
        """Where it is asked."""
        return self.machine.home / "net.sock"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "eais_server.net", "--trust", str(self.trusted)]
        command += ["--socket", str(self.socket), "--state-dir", str(self.machine.home / "net")]
        command += ["--underlay", self.machine.address, *self.more]
        for each in self.given:
            command += ["--netns", str(each)]
        environ = {**os.environ, "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1"}
        with (self.machine.home / "net.log").open("ab") as log:
            self.process = in_namespace(
                self.machine.namespace,
                lambda: subprocess.Popen(command, env=environ, stderr=log),
            )
        eventually(self._answers, "an agent that answers")

    def kill(self) -> None:
        """As `kill -9` does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As systemd does."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None

    def _answers(self) -> bool | None:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        try:
            return self.offer().agent != ""
        except EaisError:
            return None

    def offer(self) -> net_pb2.NetOffer:
        """What it offers to who is on its machine."""
        return in_namespace(self.machine.namespace, NetAgent(self.socket, timeout_s=5).offer)

    @property
    def log(self) -> str:
        """What it has written."""
        return (self.machine.home / "net.log").read_text()


@dataclass
class Site:
    """A pool at `b`, a front-end at `f`, and whoever else.

    Attributes:
        agents: by machine; of veth one, at `b`, for all.
    """

    root: Path
    pool: str
    machines: dict[str, Machine]
    agents: dict[str, Agent]

    @property
    def front(self) -> Machine:
        """The front-end's machine."""
        return self.machines["f"]

    @property
    def back(self) -> Machine:
        """The pool's machine, which is a back-end, too."""
        return self.machines["b"]

    def points(self, whose: str) -> Path:
        """The file that names where a program dies: "pool" (manager and listener), or an agent."""
        return self.root / f"{whose}.points"

    def described(self, instance: str) -> dict[str, Any]:
        """What its front-end's machine says of an instance."""
        return self.front.data("describe", instance)


@contextlib.contextmanager
def wired(*names: str, direct: bool = False) -> Iterator[None]:
    """Namespaces of these names, joined by a bridge; or `direct`, two by one veth pair."""
    if direct:
        one, other = names
        with hosts(*names):
            ip("link", "add", "uplink", "netns", place(one).name, "type", "veth",
               "peer", "name", "uplink", "netns", place(other).name)  # fmt: skip
            for name in names:
                _up(name)
            yield
        return
    with hosts(*names, WIRE):
        middle = place(WIRE).name
        ip("-n", middle, "link", "add", "bridge", "type", "bridge")
        ip("-n", middle, "link", "set", "bridge", "up")
        for name in names:
            ip("link", "add", "uplink", "netns", place(name).name, "type", "veth",
               "peer", "name", f"to{name}", "netns", middle)  # fmt: skip
            ip("-n", middle, "link", "set", f"to{name}", "master", "bridge", "up")
            _up(name)
        yield


def _up(name: str) -> None:
    ip("-n", place(name).name, "address", "add", f"{ADDRESSES[name]}/24", "dev", "uplink")
    ip("-n", place(name).name, "link", "set", "uplink", "up")


@contextlib.contextmanager
def site(
    root: Path,
    driver: str,
    *more: str,
    direct: bool = False,
    settings: str = "",
    mortal: bool = False,
) -> Iterator[Site]:
    """A pool whose front-end is reached by `driver`, with further machines of these names.

    `direct`: without a bridge between the two. `settings`: more of the pool's file.
    `mortal`: manager, listener and agents die at the points that `Site.points` names.
    """
    names = ("b", "f", *more)
    with wired(*names, direct=direct), contextlib.ExitStack() as stack:
        machines: dict[str, Machine] = {}
        for name in names:
            home = root / name
            home.mkdir()
            shared = root / ("b" if driver == "veth" else name)
            socket = {"EAIS_NET_AGENT": str(shared / "net.sock")}
            machines[name] = Machine(home, socket, name)
        made = Site(root, "", machines, {})
        back = machines["b"]
        trusted = root / "ca.pem"
        config = root / "pool.toml"
        config.write_text(f"{SETTINGS}{settings}")
        if mortal:
            stack.enter_context(_supervised(made, config))
        up = back.run("pool", "up", "--bind", back.address, "--config", str(config))
        stack.callback(back.run, "pool", "down")
        assert up.returncode == 0, up.stderr
        trusted.write_bytes(Authority.load(back.pools / "local" / "ca").ca_pem)
        for name in ("b",) if driver == "veth" else names:
            given = [place(each) for each in names if each != name] if driver == "veth" else []
            made.agents[name] = agent = Agent(machines[name], trusted, given)
            agent.more += ["--test-failpoints", str(made.points(name))] if mortal else []
            agent.start()
            stack.callback(agent.stop)
            _skip_without(driver, agent)
        join(made, "f")
        eventually(lambda: _offered(made) or None, "back-ends whose agents are known")
        yield made


@contextlib.contextmanager
def _supervised(site: Site, config: Path) -> Iterator[None]:
    """The pool's supervisor, as `eais pool up` starts it, but that its programs may die."""
    back = site.back
    site.points("pool").touch()
    state = back.pools / "local"
    owner = back.home / ".config/eais/contexts/local"
    for folder in (state, owner):
        folder.mkdir(parents=True, mode=0o700)
    command = [sys.executable, "-m", "eais_pool.supervisor", "--bind", back.address]
    command += ["--state-dir", str(state), "--owner-dir", str(owner), "--config", str(config)]
    command += ["--test-failpoints", str(site.points("pool"))]
    process = in_namespace(
        back.namespace,
        lambda: subprocess.Popen(
            command, env=back.environ, cwd=back.home, stderr=subprocess.DEVNULL
        ),
    )
    try:
        eventually(lambda: (state / "ready.json").exists() or None, "a pool")
        yield
    finally:
        process.terminate()
        process.wait(30)


def _skip_without(driver: str, agent: Agent) -> None:
    offer = agent.offer()
    missing = next((each.missing for each in offer.drivers if each.name == driver), "")
    if missing:
        pytest.skip(missing)


def _offered(site: Site) -> bool:
    return all(host["net_drivers"] for host in site.back.data("host", "list")["hosts"])


def join(site: Site, name: str, tenant: str = "default") -> None:
    """Have a machine join as a front-end of `tenant`."""
    words = ("token", "create", "--for", "frontend", "--tenant", tenant, "--name", name)
    token = site.back.data(*words)
    done = site.machines[name].run("join", str(token["enrolment"]), stdin=f"{token['token']}\n")
    assert done.returncode == 0, done.stderr


def left(names: tuple[str, ...]) -> dict[str, str]:
    """What there is of interfaces, routes and rules in these namespaces."""
    found = {}
    for name in names:
        for what, words in (
            ("links", ("ip", "-br", "link")),
            ("addresses", ("ip", "-br", "-4", "address")),
            ("routes", ("ip", "route", "show", "table", "all")),
            ("rules", ("nft", "list", "ruleset")),
        ):
            run = partial(subprocess.run, words, check=True, capture_output=True, text=True)
            found[f"{name} {what}"] = str(in_namespace(place(name), run).stdout)
    return found
