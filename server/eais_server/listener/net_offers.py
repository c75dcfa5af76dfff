"""What this host's network agent offers the pool, as the pool is told of it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Final

from eais.errors import EaisError
from eais.net.asking import NetAgent
from eais.rpc.v1 import hosts_pb2, net_pb2
from eais_server.listener.host import Host

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
MISSED: Final = 30
"""An agent that is away so many times in a row offers nothing any more: it may just be started
again."""
_OFFERED_IN_S: Final = 2.0


class NetOffers:
    """Asks the agent now and then, and says what is other than it was.

    Args:
        agent: of this host, there or not; None: none is meant to be.
    """

    def __init__(self, host: Host, agent: NetAgent | None) -> None:
        self._host = host
        self._agent = replace(agent, timeout_s=_OFFERED_IN_S) if agent else None
        self._missed = 0
        self._why = ""
        self.known: net_pb2.NetOffer | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Ask it once; an answer that isn't the last one is reported."""
        if self._agent is None:
            return
        offer = await asyncio.to_thread(self._asked, self._agent)
        if offer != self.known:
            self.known = offer
            said = offer if offer is not None else net_pb2.NetOffer()
            self._host.report(hosts_pb2.HostReport(net_offer=said))

    def _asked(self, agent: NetAgent) -> net_pb2.NetOffer | None:
        try:
            offer = agent.offer()
        except EaisError as error:
            self._missed += 1
            there = agent.path.exists()
            if there and self._why != str(error):
                log.error("the pool isn't offered the kernel's vNICs: %s", error)
            self._why = str(error) if there else ""
            return self.known if self._missed < MISSED else None
        self._missed, self._why = 0, ""
        return offer
