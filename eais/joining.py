"""Joining a pool: a token becomes an identity.

Nothing of the pool is trusted at first but the token. So the server is met twice. The first
time is a TLS handshake without trust, which shows the chain that the server has: one of its
certificates must be the CA's whose hash is in the token. The second time is a channel that
trusts exactly that CA and the name of the pool's manager; the secret is sent on that one alone.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from eais import tls
from eais.errors import ConfigError, EaisError, IdentityError, Unavailable, make_error
from eais.identity import JOINING, Identity, Role, pool_of_ca
from eais.join_token import JoinToken
from eais.ports import ENROLMENT_PORT, PORT_LIMIT

if TYPE_CHECKING:
    from eais.rpc.v1 import common_pb2, enrolment_pb2

TIMEOUT_S: Final = 30.0
UNREACHABLE: Final = "POOL_UNREACHABLE"

_TOKEN_HINT = "is the address that of the pool which made the token?"
_PORT_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Plane:
    """Where a plane of the manager is reached; `str` is "ADDRESS:PORT"."""

    address: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Joined:
    """What joining yields.

    Attributes:
        leaf: the identity, for about an hour.
        enrolment: what the next leaf is asked for with, for thirty days; good for nothing else.
        pool: the pool's name.
        user_plane: where front-ends call the manager.
        management_plane: where listeners and operators do.
        server_name: what the manager's certificate is checked for on either.
    """

    leaf: tls.Bundle
    enrolment: tls.Bundle
    pool: str
    user_plane: Plane
    management_plane: Plane
    server_name: str


@dataclass(frozen=True, slots=True)
class _Met:
    """A server that was met once: where it answered from, and the CA that it is trusted by."""

    plane: Plane
    ca: x509.Certificate

    @property
    def ca_pem(self) -> bytes:
        return self.ca.public_bytes(Encoding.PEM)

    @property
    def target(self) -> str:
        return ("ipv6:" if ":" in self.plane.address else "ipv4:") + str(self.plane)


def join(
    address: str,
    token: str,
    purpose: Role,
    *,
    software: str = "eais-client",
    timeout_s: float = TIMEOUT_S,
    check_pool: Callable[[str], None] | None = None,
) -> Joined:
    """Join the pool at `address` ("HOST", "HOST:PORT") with the text of a token.

    Nothing is written: keep both bundles with `tls.save_bundle`. `purpose` is FRONTEND,
    LISTENER or OPERATOR, which the token must be for; `software` is said in Hello. `check_pool`
    is told the pool's name before the token is used, which it isn't if that raises.

    Raises:
        ConfigError: CONFIG or PORT, `address` is none.
        IdentityError: TOKEN, the text is no token, or the pool doesn't take it: unknown, used,
            ended, or for something else. SERVER_UNTRUSTED, who answers isn't the pool of the
            token: the secret was not sent. CERT_EXPIRED or CERT_NOT_YET_VALID, by this
            machine's clock the server's certificate isn't valid now.
        Unavailable: POOL_UNREACHABLE; BUSY with push_back_ms, after many wrong tokens.
        ValueError: nobody joins for that purpose.
    """
    if purpose not in JOINING:
        raise ValueError(f"nobody joins as a {purpose}")
    end = time.monotonic() + timeout_s
    parsed = JoinToken.parse(token)
    host, port = parse_address(address)
    met = _meet(host, port, parsed.ca_sha256, timeout_s)
    if check_pool is not None:
        check_pool(pool_of_ca(met.ca))
    return _sign(met, parsed.secret_text, purpose, software, end - time.monotonic())


def parse_address(text: str) -> tuple[str, int]:
    """The host and port of "HOST", "HOST:PORT" or "[IPV6]:PORT"; the port is 7443 if unsaid.

    Raises:
        ConfigError: CONFIG or PORT.
    """
    host, colon, port = text.strip().rpartition(":")
    if not colon or port.endswith("]"):
        host, port = text.strip(), str(ENROLMENT_PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not _is_host(host) or not (port.isascii() and port.isdigit()):
        raise ConfigError("CONFIG", f"{text!r} is no address to join at, such as HOST:7443")
    if len(port) > _PORT_DIGITS or not 0 < int(port) < PORT_LIMIT:
        raise ConfigError("PORT", f"{text!r}: a port is 1 to {PORT_LIMIT - 1}")
    return host, int(port)


def _is_host(text: str) -> bool:
    """Whether it can be looked up; what can't isn't an OSError of the one who tries."""
    try:
        return bool(text.encode("idna")) and "\0" not in text
    except UnicodeError:
        return False


def _meet(host: str, port: int, ca_sha256: bytes, timeout_s: float) -> _Met:
    """Shake hands without trust, and look for the CA that the token names."""
    chain, address = _shown_chain(host, port, timeout_s)
    where = f"{host}:{port}"
    found = [der for der in chain if hashlib.sha256(der).digest() == ca_sha256]
    if not found:
        raise _untrusted(f"who answers at {where} isn't the pool that the token is of")
    try:
        leaf, authority = (x509.load_der_x509_certificate(der) for der in (chain[0], found[0]))
        leaf.verify_directly_issued_by(authority)
    except (*tls.UNREADABLE, InvalidSignature):
        raise _untrusted(f"who answers at {where} shows a CA that hasn't signed for it") from None
    _check_time(leaf, where)
    return _Met(Plane(address, port), authority)


def _shown_chain(host: str, port: int, timeout_s: float) -> tuple[list[bytes], str]:
    """The certificates, DER, that a server shows, its own first, and its network address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with socket.create_connection((host, port), timeout_s) as line:
            address: str = line.getpeername()[0]
            with context.wrap_socket(line) as shaken:
                return _chain_of(shaken), address
    except OSError as error:
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            text = f"who answers at {host}:{port} doesn't speak TLS as a pool does"
            raise _untrusted(text) from None
        raise Unavailable(
            UNREACHABLE,
            f"nobody can be joined at {host}:{port}: {_words(error)}",
            hint="is the pool up, and is this its enrolment address? See `eais pool status` there",
        ) from None


def _chain_of(shaken: ssl.SSLSocket) -> list[bytes]:
    if sys.version_info >= (3, 13):
        return list(shaken.get_unverified_chain())
    # What that method calls, which Python has had since 3.10.
    inner: Any = getattr(shaken, "_sslobj")  # noqa: B009 - it isn't in the annotations
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in inner.get_unverified_chain()]


def _words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it doesn't answer"
    if isinstance(error, ssl.SSLEOFError):
        return "the connection was closed, as by a pool that too many join at once"
    return error.strerror or str(error)


def _check_time(leaf: x509.Certificate, where: str) -> None:
    now = datetime.now(UTC)
    if now > leaf.not_valid_after_utc:
        reason, text = "CERT_EXPIRED", f"ended at {leaf.not_valid_after_utc:%F %T} UTC"
    elif now < leaf.not_valid_before_utc:
        reason, text = "CERT_NOT_YET_VALID", f"begins at {leaf.not_valid_before_utc:%F %T} UTC"
    else:
        return
    raise IdentityError(
        reason,
        f"the certificate of {where} {text}, and here it is {now:%F %T} UTC",
        hint="compare this machine's clock with the pool's",
    )


def _sign(met: _Met, secret: str, purpose: Role, software: str, timeout_s: float) -> Joined:
    """Have two new keys certified, over a channel that trusts the token's CA alone."""
    from eais.rpc.hello import check_version, hello
    from eais.rpc.v1 import enrolment_pb2

    manager = Identity.manager(pool_of_ca(met.ca))
    keys = tls.new_key(), tls.new_key()
    request = enrolment_pb2.SignCsrRequest(
        hello=hello(software),
        secret=secret,
        purpose=purpose.value,
        csr_pem=tls.make_csr(keys[0]),
        enrolment_csr_pem=tls.make_csr(keys[1]),
    )
    reply = _asked(met, manager, request, max(timeout_s, 1.0))
    check_version(reply.hello)
    leaf, enrolment = (
        tls.make_bundle(tls.key_to_pem(key), pem, reply.ca_pem, "what the pool signed")
        for key, pem in zip(keys, (reply.leaf_pem, reply.enrolment_pem), strict=True)
    )
    _check_identity(manager.pool, purpose, leaf, enrolment)
    return Joined(
        leaf,
        enrolment,
        manager.pool,
        _plane(reply.user_plane),
        _plane(reply.management_plane),
        manager.dns_name or "",
    )


def _asked(
    met: _Met, manager: Identity, request: enrolment_pb2.SignCsrRequest, timeout_s: float
) -> enrolment_pb2.SignCsrReply:
    import grpc

    from eais.channel import client_options
    from eais.rpc import verbs
    from eais.rpc.client import call

    trust = grpc.ssl_channel_credentials(root_certificates=met.ca_pem)
    options = client_options(manager.dns_name or "")
    with grpc.secure_channel(met.target, trust, options) as channel:
        return call(
            channel,
            verbs.ENROLMENT_SIGN_CSR,
            request,
            timeout_s=timeout_s,
            unreachable=UNREACHABLE,
        )


def _plane(endpoint: common_pb2.Endpoint) -> Plane:
    return Plane(endpoint.address, endpoint.port)


def _check_identity(pool: str, purpose: Role, leaf: tls.Bundle, enrolment: tls.Bundle) -> None:
    """A pool that signs something else than it was asked for has a bug that is seen at once."""
    identity = leaf.identity
    if identity.role is not purpose or identity.pool != pool:
        raise _wrong(f"a certificate of {identity.uri}, for a {purpose} of pool {pool}")
    if enrolment.identity != identity.enrolment:
        raise _wrong(f"an enrolment of {enrolment.identity.uri} for {identity.uri}")


def _wrong(what: str) -> EaisError:
    return make_error("CERT_IDENTITY", f"the pool has signed {what}")


def _untrusted(text: str) -> IdentityError:
    return IdentityError("SERVER_UNTRUSTED", text, hint=_TOKEN_HINT)
