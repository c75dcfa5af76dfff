"""What agents of other state directories have made in a network namespace. (Brain)

An agent whose state directory was lost comes back with another id, and knows nothing of what it had
made. Whether another id's agent is only ended, or gone for good, nobody can tell from here: so it
is said, with the commands that take it away, and left to who knows.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Final

from eais_server.net.firewall.ruleset import table_of
from eais_server.net.links.naming import agent_of

_TABLE: Final = re.compile(r"eais-([0-9a-f]{8})")


@dataclass(frozen=True, slots=True)
class Leftover:
    """What one agent has here.

    Attributes:
        agent: its id; of a table without interfaces what its name has of it.
        interfaces: their names.
        table: its table of nftables; "" if there is none, or that isn't known.
    """

    agent: str
    interfaces: tuple[str, ...] = ()
    table: str = ""

    @property
    def text(self) -> str:
        """What there is: "the interface eais0… and the table eais-…"."""
        named = ", ".join(self.interfaces)
        words = [f"the interface{'s' * (len(self.interfaces) > 1)} {named}"] if named else []
        words += [f"the table {self.table}"] if self.table else []
        return " and ".join(words)

    @property
    def remedy(self) -> str:
        """Commands that take it away."""
        commands = [f"ip link del {name}" for name in self.interfaces]
        commands += [f"nft delete table inet {self.table}"] if self.table else []
        return "; ".join(commands)


def leftovers(
    aliases: Iterable[tuple[str, str]], tables: Iterable[str], own: str
) -> tuple[Leftover, ...]:
    """What others than the agent `own` have made, by their ids.

    Args:
        aliases: of all interfaces: name and alias.
        tables: names of nftables' inet tables.
        own: "": none is.
    """
    by_agent: dict[str, list[str]] = {}
    for name, alias in aliases:
        if agent := agent_of(alias):
            by_agent.setdefault(agent, []).append(name)
    ours = {table: its[1] for table in tables if (its := _TABLE.fullmatch(table))}
    found = [_of(agent, names, ours) for agent, names in by_agent.items()]
    known = {table_of(agent) for agent in (*by_agent, own) if agent}
    # Its interfaces are gone, by hand as it may be.
    found += [Leftover(ours[table], table=table) for table in ours.keys() - known]
    return tuple(sorted((each for each in found if each.agent != own), key=lambda one: one.agent))


def _of(agent: str, names: Iterable[str], tables: Container[str]) -> Leftover:
    table = table_of(agent)
    return Leftover(agent, tuple(sorted(names)), table if table in tables else "")
