"""What the worker's port speaks by: our own HTTP/2 engine, or grpcio. Both speak gRPC."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

import grpc.aio

from eais import tls
from eais.channel import server_options
from eais.credentials import server_credentials
from eais.errors import UsageError, make_error
from eais.rpc.caller import Caller
from eais.rpc.guard import Binding
from eais.rpc.server import generic_handlers
from eais.telemetry.metrics import Tally
from eais.transport.h2_server import H2Server

# What grpcio has at most for the last answers.
_GRPCIO_WORDS_S: Final = 5.0


class Port(Protocol):
    """A bound port that answers."""

    number: int

    def renew(self, bundle: tls.Bundle) -> None:
        """Show another leaf from the next handshake on; raises IdentityError."""

    async def stop(self, words_s: float) -> None:
        """End all calls; those that are over have `words_s` for what they said to arrive."""


async def serve(
    transport: str,
    pool: str,
    bindings: Iterable[Binding],
    bundle: tls.Bundle,
    at: tuple[str, int],
    tally: Tally,
    admit: Callable[[Caller], None],
    quiet: Callable[[], bool],
) -> Port:
    """Answer at an address and port, 0 for one that the kernel chooses.

    Args:
        transport: "h2" or "grpcio"; "" is h2.
        admit: raises EaisError for callers for whom there is nothing here.
        quiet: whether nothing runs here that needs the processor.

    Raises:
        EaisError: PORT; ARGUMENT for a transport that isn't one.
    """
    match transport:
        case "" | "h2":
            server = H2Server(pool, bindings, bundle, tally, admit, quiet=quiet)
            return H2Port(server, *at)
        case "grpcio":
            port = GrpcioPort(generic_handlers(pool, bindings, tally), bundle, *at)
            await port.start()
            return port
    raise UsageError("ARGUMENT", f"no transport {transport[:16]!r}: h2 or grpcio")


class H2Port:
    """See `Port`; by our own engine."""

    def __init__(self, server: H2Server, address: str, port: int) -> None:
        self._server = server
        self.renew = server.renew
        try:
            self.number = server.bind(address, port)
        except OSError:
            raise _no_port(port) from None

    async def stop(self, words_s: float) -> None:
        """See `Port`."""
        await self._server.stop(0, words_s)


class GrpcioPort:
    """See `Port`; by grpc.aio."""

    def __init__(
        self,
        handlers: Iterable[grpc.GenericRpcHandler[object, object]],
        bundle: tls.Bundle,
        address: str,
        port: int,
    ) -> None:
        self._bundle = bundle
        self._server = grpc.aio.server(options=server_options())
        self._server.add_generic_rpc_handlers(tuple(handlers))
        credentials = server_credentials(lambda: self._bundle)
        host = f"[{address}]" if ":" in address else address
        try:
            self.number = self._server.add_secure_port(f"{host}:{port}", credentials)
        except RuntimeError:
            self.number = 0
        if not self.number:
            raise _no_port(port)

    async def start(self) -> None:
        """Begin to answer."""
        await self._server.start()

    def renew(self, bundle: tls.Bundle) -> None:
        """See `Port`."""
        self._bundle = bundle

    async def stop(self, words_s: float) -> None:
        """See `Port`."""
        # It doesn't tell calls that are over from those that watch, and would wait for both.
        await self._server.stop(min(words_s, _GRPCIO_WORDS_S))


def _no_port(port: int) -> Exception:
    return make_error("PORT", f"the instance's address has no port {port or 'left'}")
