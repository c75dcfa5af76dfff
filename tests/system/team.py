"""People and machines around one pool: an operator, users of tenants, hosts.

Each machine is a home of its own, which is all that one is to EAIS; the pool and each host are at
an address of their own (127.0.0.N).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eais_pool.authority import Authority
from tests.system.stack import eventually
from tests.system.terminal import Terminal

SETTINGS = "[manager]\nenrolment_port = 0\n[listener]\ncpu_cores = 4\n"


@dataclass(frozen=True)
class Team:
    """An operator whose pool is up at an address, and who else comes."""

    operator: Terminal
    root: Path
    pool: str

    @property
    def authority(self) -> Authority:
        """The pool's CA."""
        return Authority.load(self.operator.pools / "local" / "ca")

    def machine(self, name: str) -> Terminal:
        """A machine that knows no pool yet."""
        home = self.root / name
        home.mkdir()
        return Terminal(home)

    def token(self, purpose: str, *more: str) -> tuple[str, str]:
        """Where to join, and a token."""
        made = self.operator.data("token", "create", "--for", purpose, *more)
        return str(made["enrolment"]), str(made["token"])

    def user(self, name: str, tenant: str) -> Terminal:
        """A machine whose user has joined as a front-end of `tenant`."""
        made = self.machine(name)
        where, token = self.token("frontend", "--tenant", tenant, "--name", name)
        done = made.run("join", where, stdin=f"{token}\n")
        assert done.returncode == 0, done.stderr
        return made

    def identity(self, user: Terminal) -> Path:
        """The file of a joined user's front-end."""
        return user.home / ".config/eais/contexts" / self.pool / "frontend.pem"

    @contextlib.contextmanager
    def host(self, name: str, address: str, cores: int = 1) -> Iterator[BackEnd]:
        """A machine that has joined as a host, of so many cores, until the block ends."""
        made = BackEnd(self, self.machine(name), name, address)
        config = made.terminal.home / "listener.toml"
        config.write_text(f"[listener]\ncpu_cores = {cores}\n")
        where, token = self.token("listener", "--name", name)
        more = ("--pool", where, "--address", address, "--config", str(config))
        try:
            done = made.terminal.run("listener", "up", *more, stdin=f"{token}\n")
            assert done.returncode == 0, done.stderr
            yield made
        finally:
            assert made.terminal.run("listener", "down").returncode == 0


@dataclass(frozen=True)
class BackEnd:
    """A host of a team's pool: where it is, and what it says of itself."""

    team: Team
    terminal: Terminal
    name: str
    address: str

    @property
    def state(self) -> Path:
        """The listener's directory."""
        return self.terminal.home / ".local/state/eais/listener"

    @property
    def said(self) -> dict[str, Any]:
        """What its listener says of itself."""
        return dict(json.loads((self.state / "status.json").read_text()))

    def up_again(self) -> None:
        """Start it as after a reboot: with nothing but its own directory."""
        config = str(self.terminal.home / "listener.toml")
        done = self.terminal.run("listener", "up", "--config", config, stdin="")
        assert done.returncode == 0, done.stderr

    def reachable(self) -> bool:
        """Whether the pool can reach it now."""
        hosts = self.team.operator.data("host", "list")["hosts"]
        return any(host["host"] == self.name and host["reachable"] for host in hosts)

    def await_reachable(self, reachable: bool = True) -> None:
        """Wait until the pool can reach it, or can't."""
        what = f"{self.name} is {'reachable' if reachable else 'lost'}"
        eventually(lambda: self.reachable() is reachable or None, what, within_s=120)


@contextlib.contextmanager
def team_at(
    root: Path, address: str, settings: str = SETTINGS, *flags: str, tenants: tuple[str, ...] = ()
) -> Iterator[Team]:
    """A pool at `address` below `root`, with these tenants, until the block ends."""
    (root / "operator").mkdir()
    operator = Terminal(root / "operator")
    config = root / "pool.toml"
    config.write_text(settings)
    up = operator.data("pool", "up", "--bind", address, "--config", str(config), *flags)
    try:
        for tenant in tenants:
            assert operator.run("tenant", "create", tenant).returncode == 0
        yield Team(operator, root, str(up["pool"]))
    finally:
        assert operator.run("pool", "down").returncode == 0
