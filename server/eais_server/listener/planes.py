"""The listener's two sockets, one a plane, each with its own server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from eais import channel, tls
from eais.errors import make_error
from eais.rpc.server import Binding, generic_handlers
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
        address: str,
        pool: str,
        identity: Callable[[], tls.Bundle],
        user: Iterable[Binding],
        management: Iterable[Binding],
    ) -> Planes:
        """Bind both planes at `address`, at the ports kept in `file` if they can be had.

        Raises:
            EaisError: PORT, the address can't be bound at all.
            OSError: the ports can't be kept.
        """
        kept = load_place(file, address)
        user_server, user_port = _bind(pool, user, address, kept.user_port, identity)
        server, port = _bind(pool, management, address, kept.management_port, identity)
        place = Place(address, user_port, port)
        if place != kept:
            save_place(file, place)
        return cls(user_server, server, place)

    async def start(self) -> None:
        """Answer calls."""
        await self.management.start()
        await self.user.start()

    async def stop(self, grace_s: float) -> None:
        """Take no new calls; those in flight have `grace_s`."""
        await self.user.stop(grace_s)
        await self.management.stop(0)


def _bind(
    pool: str,
    bindings: Iterable[Binding],
    address: str,
    port: int,
    identity: Callable[[], tls.Bundle],
) -> tuple[grpc.aio.Server, int]:
    handlers = generic_handlers(pool, bindings)
    for wanted in dict.fromkeys((port, 0)):
        # New ones for each attempt: gRPC gives their first configuration to one port alone.
        credentials = tls.server_credentials(identity)
        server = grpc.aio.server(options=channel.server_options())
        server.add_generic_rpc_handlers(handlers)
        try:
            bound = server.add_secure_port(f"{address}:{wanted}", credentials)
        except RuntimeError:
            bound = 0
        if bound:
            return server, bound
        log.warning("port %s of %s can't be bound", wanted or "(any)", address)
    raise make_error("PORT", f"no port of {address} can be bound")
