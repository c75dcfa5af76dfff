"""What the agent's interfaces are called, and by what it knows its own. (Brain)"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

from eais.net.plan import Side, VnicKey

#: Interfaces of ours have it in front, and nobody else's should.
PREFIX: Final = "eais"
#: IFNAMSIZ is 16, with the zero at the end (linux/if.h).
NAME_LENGTH: Final = 15
#: IFLA_GROUP of our interfaces, "eais": unlike an alias it is there from the first moment on.
GROUP: Final = 0x65616973
_MARK_HEX: Final = 16
_MARK: Final = re.compile(r"eais:(?P<agent>[0-9a-f]{16}):[^:]+:[0-9a-f]{16}")


def interface_name(agent: str, key: VnicKey) -> str:
    """The interface of a vNIC end: the same each time, another for each agent and end."""
    return PREFIX + _digest(agent, key)[: NAME_LENGTH - len(PREFIX)]


def mark(agent: str, key: VnicKey) -> str:
    """What stands in the interface's alias (IFLA_IFALIAS), so that `ip link` shows whose it is."""
    return f"{mark_of(agent)}{key.instance}:{_digest(agent, key)[:_MARK_HEX]}"


def mark_of(agent: str) -> str:
    """What the marks of all of an agent's interfaces begin with."""
    return f"{PREFIX}:{agent}:"


def agent_of(alias: str) -> str:
    """Whose interface has that alias: an agent's id; "" for one without a mark of ours."""
    found = _MARK.fullmatch(alias)
    return found["agent"] if found else ""


def other_end(key: VnicKey) -> VnicKey:
    """The key of a vNIC's other end."""
    side = Side.BACKEND if key.side is Side.FRONTEND else Side.FRONTEND
    return key._replace(side=side)


def _digest(agent: str, key: VnicKey) -> str:
    text = "\0".join((agent, key.pool, key.instance, key.host, key.side.value))
    return sha256(text.encode()).hexdigest()
