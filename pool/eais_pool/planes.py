"""The manager's sockets: one a plane, bound before any of them answers.

Each plane's answers name another plane's address, so that all are bound first; and the file that
says where they are is written when all of them answer.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio as aio

from eais import files
from eais.bind_fault import cannot_bind
from eais.channel import LINE_KEEPALIVE, Options, open_server_options, server_options
from eais.credentials import open_server_credentials, server_credentials
from eais.identity import Identity
from eais.ports import to_try
from eais.rpc.health import Ready, with_health
from eais.rpc.server import Binding, generic_handlers
from eais.rpc.verbs import Plane
from eais.telemetry.metrics import Tally
from eais.tls import OwnLeaf
from eais_pool.brain.host_records import Endpoint
from eais_pool.wire import endpoint_message

log = logging.getLogger(__name__)

OPTIONS: dict[Plane, Options] = {
    Plane.USER: server_options(),
    Plane.MANAGEMENT: server_options(LINE_KEEPALIVE),
    Plane.ENROLMENT: open_server_options(),
}


@dataclass(frozen=True, slots=True)
class Bound:
    """A plane's server, which has its port and doesn't answer yet."""

    server: aio.Server
    endpoint: Endpoint

    async def serve(
        self, pool: str, bindings: Iterable[Binding], ready: Ready, calls: Tally
    ) -> None:
        """Answer from now on, when asked for health too: as `ready` says. Counts into `calls`."""
        handlers = generic_handlers(pool, with_health(bindings, ready), calls)
        self.server.add_generic_rpc_handlers(handlers)
        await self.server.start()


def port_key(plane: Plane) -> str:
    """What a plane's port is called in settings, and in what is kept."""
    return f"{plane.value}_port"


def bind(plane: Plane, address: str, fixed: int, kept: int, leaf: OwnLeaf) -> Bound:
    """A plane's server at `address`: on the port that is set, or had before, or on any.

    Raises:
        ConfigError: PORT, none of these can be had.
    """
    for wanted in to_try(fixed, kept):
        server = aio.server(options=OPTIONS[plane])
        try:
            got = server.add_secure_port(f"{address}:{wanted}", _credentials(plane, leaf))
        except RuntimeError as error:
            log.warning("port %d of %s can't be had: %s", wanted, address, error)
            continue
        return Bound(server, Endpoint(address, got))
    raise cannot_bind(port_key(plane), address, fixed)


def _credentials(plane: Plane, leaf: OwnLeaf) -> grpc.ServerCredentials:
    if plane is Plane.ENROLMENT:
        return open_server_credentials(leaf.current)
    return server_credentials(leaf.current)


def write_ready(path: Path, pool: str, planes: dict[Plane, Endpoint]) -> None:
    """Say in `path` where the planes are. Raises OSError."""
    identity = Identity.manager(pool)
    ready: dict[str, object] = {"pool": pool}
    for plane, endpoint in planes.items():
        message = endpoint_message(endpoint, identity)
        ready[plane.value] = {
            "address": message.address,
            "port": message.port,
            "server_name": message.server_name,
        }
    data = json.dumps(ready).encode()
    # What is there is right, unless a port or a bit is another: a full disk is no matter then.
    if not path.exists() or path.read_bytes() != data:
        files.replace_file(path, data)
        return
    # Whoever started this manager waits for the file to be newer than the start.
    with contextlib.suppress(OSError):
        os.utime(path)
