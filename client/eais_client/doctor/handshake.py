"""One plain TLS handshake: what a gRPC channel can't say.

gRPC calls a server that refuses its certificate, one that isn't there and one that speaks no
TLS by the same name. Here each is told from the others.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from eais import tls
from eais.errors import EaisError, IdentityError, make_error
from eais_client.instances import Address

TIMEOUT_S = 3.0


def shown_by(address: Address, unreachable: str = "POOL_UNREACHABLE") -> x509.Certificate:
    """The leaf that the server at `address` shows, which isn't judged here.

    Raises:
        Unavailable: `unreachable`, nobody answers there; the text says how.
        IdentityError: SERVER_UNTRUSTED, who answers speaks no TLS.
    """
    with _connected(address, unreachable) as line:
        try:
            with _context().wrap_socket(line, server_hostname=address.server_name) as shaken:
                der = shaken.getpeercert(binary_form=True) or b""
            return x509.load_der_x509_certificate(der)
        except TimeoutError:
            raise make_error(
                unreachable,
                f"{address} takes connections and says nothing for {TIMEOUT_S:g} s",
                hint="the process there stands still, or something between swallows the answer",
            ) from None
        except (OSError, *tls.UNREADABLE):
            raise IdentityError(
                "SERVER_UNTRUSTED",
                f"what answers at {address} isn't a server of the pool's: it speaks no TLS",
                hint="something else has that port now: is the context's address right?",
            ) from None


def refused_by(address: Address, identity: Path) -> str | None:
    """What the server says of the identity in that file: None if it takes it.

    Else TLS's alert, or "" if it closed the connection without one. After a handshake of TLS
    1.3 the client doesn't know yet what the server thinks of it: the first byte tells.

    Raises:
        Unavailable: POOL_UNREACHABLE.
    """
    context = _context()
    context.load_cert_chain(identity)
    with _connected(address, "POOL_UNREACHABLE") as line:
        try:
            with context.wrap_socket(line, server_hostname=address.server_name) as shaken:
                return None if shaken.recv(1) else ""
        except TimeoutError:
            return None  # it waits for us to begin, so it has taken us
        except ssl.SSLError as error:
            return error.reason or ""
        except OSError:
            return ""  # reset


def _context() -> ssl.SSLContext:
    """Trusts whoever answers: what they show is judged afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


@contextlib.contextmanager
def _connected(address: Address, unreachable: str) -> Iterator[socket.socket]:
    try:
        line = socket.create_connection((address.address, address.port), TIMEOUT_S)
    except OSError as error:
        raise _unreached(error, address, unreachable) from None
    with line:
        yield line


def _unreached(error: OSError, address: Address, unreachable: str) -> EaisError:
    match error:
        case socket.gaierror():
            text = f"{address.address[:80]!r} can't be looked up: {error.strerror}"
            hint = "a context holds addresses; is the name right, and does DNS answer?"
        case ConnectionRefusedError():
            text = f"nobody listens at {address}: the connection is refused"
            hint = "is the pool up there? `eais pool status` on its machine says so, and the port"
            if unreachable == "HOST_UNREACHABLE":
                hint = "its process has ended: the listener's unit or log on the back-end says why"
        case TimeoutError():
            text = f"{address} doesn't answer within {TIMEOUT_S:g} s"
            hint = "the machine is off, or a firewall drops what is sent to that port"
        case _:
            text = f"there is no way to {address}: {error.strerror or error}"
            hint = "look at this machine's network and routes: `ip route get`"
    return make_error(unreachable, text, hint=hint)
