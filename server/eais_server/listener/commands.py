"""What the pool may ask of this host, each where it belongs."""

from __future__ import annotations

from eais.rpc.v1 import hosts_pb2
from eais_server.listener.grants import Grants
from eais_server.listener.health import Health
from eais_server.listener.measuring import Measurements


class HostCommands:
    """The `Commands` of a listener."""

    def __init__(self, grants: Grants, measurements: Measurements, health: Health) -> None:
        self._grants = grants
        self._measurements = measurements
        self._health = health

    async def grant(self, message: hosts_pb2.Grant) -> None:
        """As `Commands`."""
        await self._grants.grant(message)

    async def revoke(self, message: hosts_pb2.Revoke) -> None:
        """As `Commands`."""
        await self._grants.revoke(message)

    async def run_batch(self, message: hosts_pb2.RunBatch) -> None:
        """As `Commands`."""
        await self._measurements.run_batch(message)

    async def give_up(self, message: hosts_pb2.GiveUp) -> None:
        """As `Commands`."""
        await self._measurements.give_up(message)

    async def check_device(self, message: hosts_pb2.CheckDevice) -> None:
        """As `Commands`."""
        self._health.ask(message.device)

    async def usage_kept(self, message: hosts_pb2.UsageKept) -> None:
        """As `Commands`."""
        await self._grants.usage_kept(message)

    async def cut_off(self) -> None:
        """As `Commands`: nobody waits for what is measured."""
        await self._measurements.close()
