"""Ends of vNICs that a listener had made and that none of its leases has.

It was killed between having an end made and writing the lease down, or between removing that
and having the end taken away; or the agent was away when the end was to go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from eais.errors import EaisError
from eais.identity import Identity
from eais.net.asking import NetAgent
from eais.net.messages import key_of
from eais.net.plan import Side, VnicKey

log = logging.getLogger(__name__)

_ANSWERS_IN_S: Final = 2.0


class LeftoverVnics:
    """The ends that this host's agent has for one listener, and nobody needs.

    Args:
        agent: of this host, there or not; None: none is meant to be.
        pool, host: the listener's.
    """

    def __init__(self, agent: NetAgent | None, pool: str, host: str) -> None:
        self._agent = replace(agent, timeout_s=_ANSWERS_IN_S) if agent else None
        self._pool = pool
        self._host = host
        self._owner = Identity.listener(pool, host).uri
        self._why = ""

    async def take_away(self, needed: Collection[str]) -> bool:
        """Have them taken away, but those of the instances in `needed`; whether none is left.

        What `needed` holds is looked at after the agent has said what there is: whatever is made
        after that has a later plan, which stays.
        """
        agent = self._agent
        if agent is None:
            return True
        try:
            for key, generation in await asyncio.to_thread(self._there, agent):
                if key.instance not in needed:
                    await asyncio.to_thread(agent.destroy, key, generation)
                    log.warning("a vNIC of %s that no lease has is taken away", key.instance)
        except EaisError as error:
            self._say(agent, error)
            return False
        self._why = ""
        return True

    def _there(self, agent: NetAgent) -> list[tuple[VnicKey, int]]:
        """The listener's own ends, and the generations of their plans."""
        return [
            (key_of(vnic.key), vnic.generation)
            for vnic in agent.status().vnics
            if vnic.owner == self._owner and self._is_own(key_of(vnic.key))
        ]

    def _is_own(self, key: VnicKey) -> bool:
        return (key.pool, key.host, key.side) == (self._pool, self._host, Side.BACKEND)

    def _say(self, agent: NetAgent, error: EaisError) -> None:
        """Once; of an agent that isn't there at all, nothing: most hosts have none."""
        if agent.path.exists() and self._why != str(error):
            log.error("vNICs that no lease has may be left: %s", error)
        self._why = str(error)
