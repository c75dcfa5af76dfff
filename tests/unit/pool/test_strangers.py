"""What whoever reaches the enrolment socket may hold of the manager: little, and not for long."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import grpc.aio as aio
import pytest

from eais import channel
from eais.credentials import open_server_credentials
from eais.errors import UsageError
from eais.identity import Identity
from eais.rpc.server import Stranger, generic_handlers, open_unary
from eais.rpc.v1 import enrolment_pb2
from eais.rpc.verbs import ENROLMENT_SIGN_CSR, Plane
from eais_pool.authority import Authority
from eais_pool.planes import OPTIONS

BOUND_S = 30.0
# A client's preface and empty settings (RFC 9113, 3.4).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))


async def nobody_joins(
    request: enrolment_pb2.SignCsrRequest, caller: Stranger
) -> enrolment_pb2.SignCsrReply:
    raise UsageError("ARGUMENT", "nobody joins here")


@contextlib.asynccontextmanager
async def door(directory: Path, options: channel.Options) -> AsyncIterator[tuple[int, Authority]]:
    authority = Authority.create(directory, "pool", datetime.now(UTC))
    own = authority.bundle(Identity.manager("pool"), datetime.now(UTC))
    server = aio.server(options=options)
    bindings = [open_unary(ENROLMENT_SIGN_CSR, nobody_joins)]
    server.add_generic_rpc_handlers(generic_handlers("pool", bindings))
    port = server.add_secure_port("127.0.0.1:0", open_server_credentials(lambda: own))
    await server.start()
    try:
        yield port, authority
    finally:
        await server.stop(None)


def shaken(port: int) -> ssl.SSLSocket:
    """A connection of who speaks HTTP/2 and asks for nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    line = context.wrap_socket(socket.create_connection(("127.0.0.1", port), BOUND_S))
    line.sendall(PREFACE)
    if not line.recv(1):
        raise ConnectionError("sent away")
    return line


def read_to_the_end(line: ssl.SSLSocket) -> bool:
    """Whether the server ends the connection; the socket's time-out raises."""
    while line.recv(4096):
        pass
    return True


def test_who_asks_for_nothing_is_sent_away(tmp_path: Path) -> None:
    async def test() -> None:
        async with door(tmp_path / "ca", channel.open_server_options(idle_ms=200)) as (port, _):
            with await asyncio.to_thread(shaken, port) as line:
                assert await asyncio.to_thread(read_to_the_end, line)

    asyncio.run(test())


@pytest.mark.skipif(
    tuple(map(int, grpc.__version__.split(".")[:2])) < (1, 70), reason="it counts nobody"
)
def test_so_many_at_once_and_no_more(tmp_path: Path) -> None:
    options = dict(OPTIONS[Plane.ENROLMENT])
    assert options["grpc.max_allowed_incoming_connections"] == channel.STRANGERS
    options["grpc.max_allowed_incoming_connections"] = 3

    async def test() -> None:
        async with door(tmp_path / "ca", list(options.items())) as (port, _):
            with contextlib.ExitStack() as held:
                for _ in range(3):
                    held.enter_context(await asyncio.to_thread(shaken, port))
                with pytest.raises(OSError):  # noqa: PT011 - a closed line has several names
                    await asyncio.to_thread(shaken, port)

    asyncio.run(test())


def test_a_message_larger_than_any_is_not_taken(tmp_path: Path) -> None:
    async def test() -> None:
        async with door(tmp_path / "ca", OPTIONS[Plane.ENROLMENT]) as (port, authority):
            trust = grpc.ssl_channel_credentials(authority.ca_pem)
            name = Identity.manager("pool").dns_name or ""
            options = channel.client_options(name)
            async with aio.secure_channel(f"127.0.0.1:{port}", trust, options) as line:
                ask = line.unary_unary(ENROLMENT_SIGN_CSR.path, None, None)
                for size, code in (
                    (channel.STRANGERS_MESSAGE_BYTES, grpc.StatusCode.INVALID_ARGUMENT),
                    (channel.STRANGERS_MESSAGE_BYTES + 1, grpc.StatusCode.RESOURCE_EXHAUSTED),
                ):
                    with pytest.raises(aio.AioRpcError) as refused:
                        await ask(bytes(size), timeout=BOUND_S)
                    assert (size, refused.value.code()) == (size, code)

    asyncio.run(test())
