"""What supervision needs of the rest of the listener, each part where it belongs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

from eais.rpc.v1 import listener_pb2, supervision_pb2
from eais_server.listener.grants import Grants
from eais_server.listener.health import Health
from eais_server.listener.host import Host
from eais_server.listener.needs import Outcome
from eais_server.listener.openings import Openings
from eais_server.listener.quarantine_file import QuarantineFile
from eais_server.listener.usage import Counters
from eais_server.supervision import actions as do

log = logging.getLogger(__name__)


class ListenerDeeds:
    """The `Deeds` of a listener. `all_gone` is set when a shutdown has seen every exit."""

    def __init__(
        self,
        host: Host,
        grants: Grants,
        openings: Openings,
        quarantine: QuarantineFile,
        health: Health,
    ) -> None:
        self._host = host
        self._grants = grants
        self._openings = openings
        self._quarantine = quarantine
        self._health = health
        self.all_gone = asyncio.Event()

    async def adoption(self, action: do.Adopt) -> supervision_pb2.Adopt:
        """As `Deeds`."""
        return await self._grants.adoption(action)

    def check(self, action: do.Check) -> supervision_pb2.Check | None:
        """As `Deeds`."""
        return self._health.check(action)

    async def record_port(self, action: do.RecordPort) -> None:
        """As `Deeds`."""
        await self._grants.record_port(action)

    async def place(
        self, instance: str, session: str, folder: Path
    ) -> listener_pb2.SessionSpec | None:
        """As `Deeds`."""
        return await self._openings.place(instance, session, folder)

    async def outcome(self, action: Outcome) -> None:
        """As `Deeds`."""
        match action:
            case do.KeepQuarantine():
                await self._keep_quarantine(action)
            case do.CheckHosted() | do.KeepHealth():
                await self._health.outcome(action)
            case do.KeepSession() | do.RefuseSession() | do.ForgetSession():
                await self._openings.outcome(action)
            case do.AnswerGranted():
                await self._grants.answer_granted(action)
            case do.Publish():
                self._host.publish(action.instance)
            case do.SlotProven() | do.SlotFailed() | do.SlotGone():
                await self._grants.reshaping.outcome(action)
            case do.Release():
                await self._grants.release(action)
            case do.AllGone():
                self.all_gone.set()

    async def _keep_quarantine(self, action: do.KeepQuarantine) -> None:
        try:
            await self._host.durable(self._quarantine.save, action.records)
        except OSError as error:
            # It holds while this process lives; the next death, or success, writes all anew.
            log.error("which models killed workers can't be written down: %s", error)

    def beat(self, instance: str, worker: int, counted: Counters, page: str = "") -> None:
        """As `Deeds`."""
        self._host.meter.beat(instance, worker, counted, page)

    def holds(self, instance: str, n: int, sessions: Iterable[str]) -> None:
        """As `Deeds`."""
        self._host.book.holds(instance, n, sessions, self._host.clock())

    def gone(self, instance: str, n: int, worker: int) -> None:
        """As `Deeds`."""
        self._host.book.gone(instance, n, self._host.clock())
        self._host.meter.ended(instance, worker)
