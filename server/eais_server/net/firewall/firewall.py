"""The firewall of one network namespace: what an agent's vNICs there let pass."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final, NamedTuple

from eais.errors import EaisError
from eais_server.net.firewall import nft
from eais_server.net.firewall.ruleset import (
    Guarded,
    Held,
    Told,
    Tunnel,
    changing,
    read_held,
    replacing,
    table_of,
    telling,
    way_and_interface,
)
from eais_server.net.link import Ability
from eais_server.net.links.entering import OWN, in_namespace

log = logging.getLogger(__name__)

_HOW: Final = "nftables"


class Drops(NamedTuple):
    """Packets of one vNIC end that were dropped."""

    incoming: int
    outgoing: int


class Firewall:
    """One nftables table, `inet eais-<first 8 characters of the agent's id>`. One call at a time.

    The user's own tables are neither read nor touched, and theirs hold beside it: a packet passes
    if every table lets it. So what this one lets pass a user's own rules may still drop, and then
    they must let it in: TCP by interfaces that are called `eais*`.

    Each call raises ConfigError NETDEV, with the kernel's words, where it can't be done.

    Args:
        agent: whose.
        namespace: a file of the network namespace.
    """

    def __init__(self, agent: str, *, namespace: Path = OWN) -> None:
        self._table = table_of(agent)
        self._namespace = namespace
        self._told: Told | None = None

    def probe(self) -> Ability:
        """Whether there can be one here; changes nothing."""
        try:
            self._run(f"add table inet {self._table}", dry=True)
        except EaisError as error:
            return Ability(f"{error.message}: {error.hint}" if error.hint else error.message)
        return Ability(how=_HOW)

    def apply(
        self,
        guarded: Collection[Guarded],
        tunnels: Collection[Tunnel] = (),
    ) -> None:
        """Let pass what these vNIC ends need, and nothing else by them; in one step, idempotent.

        The first time all is made anew, and then what has changed, which takes a fraction of it.
        An interface that isn't there yet is guarded from its first packet on: apply first, then
        make it.

        Args:
            guarded: the ends whose interfaces are in this namespace.
            tunnels: of the VXLAN ends whose UDP sockets are in this namespace.
        """
        now = telling(guarded, tunnels)
        told, self._told = self._told, None
        if told is None or not self._changed(told, now):
            self._run(replacing(self._table, self._held(), guarded, tunnels))
        self._told = now

    def forget(self) -> None:
        """Make all anew the next time."""
        self._told = None

    def _changed(self, told: Told, now: Told) -> bool:
        """Whether it could be changed from the one to the other; not if somebody else had."""
        try:
            if commands := changing(self._table, told, now):
                self._run(commands)
        except EaisError as error:
            log.warning("the table %s isn't as it was left: %s", self._table, error)
            return False
        return True

    def drops(self) -> dict[str, Drops]:
        """By interface: what was dropped since `apply` first had the end.

        Whatever an end isn't for counts as incoming too when it came by another interface.
        """
        found: dict[str, dict[str, int]] = {}
        for told in self._listed("counters", "counter"):
            way, interface = way_and_interface(told["name"])
            found.setdefault(interface, {})[way] = int(told["packets"])
        return {each: Drops(by.get("in", 0), by.get("out", 0)) for each, by in found.items()}

    def found(self) -> bool:
        """Whether the table is there."""
        return self._table in in_namespace(self._namespace, tables_of_inet)

    def remove(self) -> None:
        """Take the table away with all that it has; one that isn't there is nothing."""
        self._told = None
        # To add it first is how nftables says "if it is there".
        self._run(f"add table inet {self._table}\ndelete table inet {self._table}\n")

    def _held(self) -> Held:
        if not self.found():
            return Held()
        return read_held(json.loads(self._run(f"list table inet {self._table}", terse=True)))

    def _listed(self, plural: str, kind: str) -> list[dict[str, Any]]:
        if not self.found():
            return []
        return self._entries(f"list {plural} table inet {self._table}", kind)

    def _entries(self, command: str, kind: str) -> list[dict[str, Any]]:
        return _entries(self._run(command), kind)

    def _run(self, commands: str, *, terse: bool = False, dry: bool = False) -> str:
        return in_namespace(self._namespace, lambda: nft.run(commands, terse=terse, dry=dry))


def tables_of_inet() -> list[str]:
    """The names of all inet tables in the calling thread's network namespace.

    Raises:
        ConfigError: NETDEV.
    """
    return [str(told["name"]) for told in _entries(nft.run("list tables inet"), "table")]


def _entries(listing: str, kind: str) -> list[dict[str, Any]]:
    return [entry[kind] for entry in json.loads(listing)["nftables"] if kind in entry]
