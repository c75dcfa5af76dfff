"""The listener's two sockets, one a plane, each with its own server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc.aio

from eais import channel, tls
from eais.bind_fault import cannot_bind
from eais.credentials import server_credentials
from eais.ports import to_try
from eais.rpc.health import Ready, with_health
from eais.rpc.server import Binding, generic_handlers
from eais.telemetry.metrics import Tally
from eais_server.listener.place import Place, load_place, save_place

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Planes:
    """Both servers, bound; and where they are."""

    user: grpc.aio.Server
    management: grpc.aio.Server
    place: Place

    @classmethod
    def bind(
        cls,
        file: Path,
        wanted: Place,
        pool: str,
        identity: Callable[[], tls.Bundle],
        user: Iterable[Binding],
        management: Iterable[Binding],
        ready: Ready,
        calls: Tally,
    ) -> Planes:
        """Bind both planes where `wanted` says; a port of 0 is the one kept in `file`, or any.

        Asked for health they answer as `ready` says. What they answer is counted in `calls`.

        Raises:
            ConfigError: PORT, a port that is wanted can't be bound, or none at that address.
        """
        address, kept = wanted.address, load_place(file, wanted.address)
        bind = partial(bind_plane, pool, address, identity, calls)
        user, management = with_health(user, ready), with_health(management, ready)
        user_server, user_port = bind(user, "user_port", wanted.user_port, kept.user_port)
        server, port = bind(
            management, "management_port", wanted.management_port, kept.management_port
        )
        place = Place(address, user_port, port)
        if place != kept:
            _keep(file, place)
        return cls(user_server, server, place)

    async def start(self) -> None:
        """Answer calls."""
        await self.management.start()
        await self.user.start()

    async def stop(self, grace_s: float) -> None:
        """Take no new calls; those in flight have `grace_s`."""
        await self.user.stop(grace_s)
        await self.management.stop(0)


class InstancePlanes:
    """User planes of single instances, each on a server of its own: see `OwnPlanes`.

    Args:
        bindings: what each answers.
    """

    def __init__(
        self,
        pool: str,
        identity: Callable[[], tls.Bundle],
        bindings: Callable[[], Iterable[Binding]],
        ready: Ready,
        calls: Tally,
    ) -> None:
        self._pool = pool
        self._identity = identity
        self._bindings = bindings
        self._ready = ready
        self._calls = calls
        self._servers: dict[str, tuple[grpc.aio.Server, int]] = {}

    async def open(self, instance: str, address: str, kept: int) -> int:
        """See `OwnPlanes`."""
        if instance in self._servers:
            return self._servers[instance][1]
        user = with_health(self._bindings(), self._ready)
        server, port = bind_plane(
            self._pool, address, self._identity, self._calls, user, "user_port", 0, kept
        )
        await server.start()
        self._servers[instance] = server, port
        return port

    async def close(self, instance: str) -> None:
        """See `OwnPlanes`; calls under way end."""
        server, _ = self._servers.pop(instance, (None, 0))
        if server is not None:
            await server.stop(0)

    async def close_all(self, grace_s: float) -> None:
        """Take no new calls anywhere; those in flight have `grace_s`."""
        servers, self._servers = self._servers, {}
        await asyncio.gather(*(server.stop(grace_s) for server, _ in servers.values()))


def bind_plane(
    pool: str,
    address: str,
    identity: Callable[[], tls.Bundle],
    calls: Tally,
    bindings: Iterable[Binding],
    key: str,
    fixed: int,
    kept: int,
) -> tuple[grpc.aio.Server, int]:
    """A server on the port that is `fixed` by `key`, or was `kept`, or on any; and the port."""
    handlers = generic_handlers(pool, bindings, calls)
    for wanted in to_try(fixed, kept):
        # New ones for each attempt: gRPC gives their first configuration to one port alone.
        credentials = server_credentials(identity)
        server = grpc.aio.server(options=channel.server_options())
        server.add_generic_rpc_handlers(handlers)
        try:
            bound = server.add_secure_port(f"{_host(address)}:{wanted}", credentials)
        except RuntimeError:
            bound = 0
        if bound:
            return server, bound
        log.warning("port %s of %s can't be bound", wanted or "(any)", address)
    raise cannot_bind(key, address, fixed)


def _keep(file: Path, place: Place) -> None:
    try:
        save_place(file, place)
    except OSError as error:
        # Who looks for this listener hears of its ports from the pool.
        log.error("the ports can't be written down, the next start chooses anew: %s", error)


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
