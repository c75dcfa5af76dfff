"""Who a process is: the names that certificates carry, and what each may do with its leaf.

An identity is one SPIFFE URI; it says everything there is to know:

| role | URI | DNS name | key usage |
|---|---|---|---|
| front-end | `spiffe://<pool>/tenant/<tenant>/frontend/<id>` | – | client |
| operator | `spiffe://<pool>/operator/<id>` | – | client |
| worker | `spiffe://<pool>/worker/<ei-…>/<n>` | `<n>.<ei-…>.<pool>.internal` | server |
| listener | `spiffe://<pool>/listener/<host>` | `<host>.listener.<pool>.internal` | both |
| manager | `spiffe://<pool>/manager` | `manager.<pool>.internal` | both |
| enrolment | `spiffe://<pool>/enrolment/…`, of a front-end, operator or listener | – | client |

An enrolment is what a machine that has joined keeps for thirty days: it may ask for the next
leaf of the identity that it names, and for nothing else.

Who calls is read from the peer's certificate alone (`peer_of`), never from a field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from eais.errors import IdentityError

if TYPE_CHECKING:
    from cryptography import x509

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
# No dot in an instance and digits alone in n, so that no worker's DNS name is a listener's.
_WORKER = re.compile(r"ei-[a-z0-9_-]{1,61}/(0|[1-9][0-9]{0,8})")
_SCHEME = "spiffe://"
_MAX_URI = 512

# Lists of bytes in both kinds of server; grpc.aio's annotation says bytes.
AuthContext = Mapping[str, Iterable[bytes]] | Mapping[str, bytes]


class Role(StrEnum):
    """What kind of process an identity belongs to."""

    FRONTEND = "frontend"
    LISTENER = "listener"
    WORKER = "worker"
    OPERATOR = "operator"
    MANAGER = "manager"
    ENROLMENT = "enrolment"


class Usage(StrEnum):
    """An extended key usage, by its object identifier (RFC 5280, 4.2.1.12)."""

    SERVER = "1.3.6.1.5.5.7.3.1"
    CLIENT = "1.3.6.1.5.5.7.3.2"


_USAGES: Mapping[Role, frozenset[Usage]] = {
    Role.FRONTEND: frozenset({Usage.CLIENT}),
    Role.OPERATOR: frozenset({Usage.CLIENT}),
    Role.WORKER: frozenset({Usage.SERVER}),
    Role.LISTENER: frozenset(Usage),
    Role.MANAGER: frozenset(Usage),
    Role.ENROLMENT: frozenset({Usage.CLIENT}),
}

JOINING = frozenset({Role.FRONTEND, Role.LISTENER, Role.OPERATOR})
"""The roles of those who join with a token."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One process's name in one pool.

    Attributes:
        pool: the trust domain.
        role: what it is; decides the other two.
        tenant: whose front-end it is, or an enrolment of whose; None for every other role.
        name: the front-end's or operator's id, the listener's host, the worker's
            `<ei-…>/<n>`, "" for the manager; an enrolment's `<role>/<name>`.

    Raises ValueError when the parts don't make a name of that role.
    """

    pool: str
    role: Role
    tenant: str | None
    name: str

    def __post_init__(self) -> None:
        _check_name("pool", self.pool)
        if (self.tenant is not None) != (self._leaf_role is Role.FRONTEND):
            raise ValueError(f"a {self.role} has {'a' if self.tenant is None else 'no'} tenant")
        if self.tenant is not None:
            _check_name("tenant", self.tenant)
        _check_role_name(self.role, self.name)

    @classmethod
    def frontend(cls, pool: str, tenant: str, frontend_id: str) -> Identity:
        """A user's context on a machine: the caller of the user plane."""
        return cls(pool, Role.FRONTEND, tenant, frontend_id)

    @classmethod
    def listener(cls, pool: str, host: str) -> Identity:
        """The daemon of one back-end."""
        return cls(pool, Role.LISTENER, None, host)

    @classmethod
    def worker(cls, pool: str, instance: str, n: int) -> Identity:
        """The `n`th worker of an instance."""
        return cls(pool, Role.WORKER, None, f"{instance}/{n}")

    @classmethod
    def operator(cls, pool: str, operator_id: str) -> Identity:
        """Who administers the pool."""
        return cls(pool, Role.OPERATOR, None, operator_id)

    @classmethod
    def manager(cls, pool: str) -> Identity:
        """The pool manager."""
        return cls(pool, Role.MANAGER, None, "")

    @property
    def enrolment(self) -> Identity:
        """The enrolment of this front-end, listener or operator; ValueError for other roles."""
        return Identity(self.pool, Role.ENROLMENT, self.tenant, f"{self.role}/{self.name}")

    @property
    def enrolled(self) -> Identity:
        """Whose enrolment it is; itself, if it is none."""
        if self.role is not Role.ENROLMENT:
            return self
        return Identity(self.pool, self._leaf_role, self.tenant, self.name.partition("/")[2])

    @property
    def _leaf_role(self) -> Role:
        """The role of the leaf that it is or asks for; ValueError for a word that is no role."""
        return Role(self.name.partition("/")[0]) if self.role is Role.ENROLMENT else self.role

    @classmethod
    def parse(cls, uri: str) -> Identity:
        """The identity that `uri` names, which is the only way to write it.

        Raises:
            ValueError: it isn't one; the message says what is wrong with it.
        """
        if len(uri) > _MAX_URI or not uri.startswith(_SCHEME):
            raise ValueError(f"not a {_SCHEME} name of at most {_MAX_URI} characters")
        pool, *parts = uri.removeprefix(_SCHEME).split("/")
        match parts:
            case ["tenant", tenant, "frontend", name]:
                return cls(pool, Role.FRONTEND, tenant, name)
            case ["worker", instance, n]:
                return cls(pool, Role.WORKER, None, f"{instance}/{n}")
            case [("listener" | "operator") as role, name]:
                return cls(pool, Role(role), None, name)
            case ["manager"]:
                return cls(pool, Role.MANAGER, None, "")
            case ["enrolment", *path] if path and path[0] != "enrolment":
                return cls.parse(_SCHEME + "/".join((pool, *path))).enrolment
        raise ValueError(f"no role has a name of these parts: {uri[:80]!r}")

    @property
    def uri(self) -> str:
        """The SPIFFE URI, which is the certificate's one URI SAN."""
        if self.role is Role.ENROLMENT:
            path = self.enrolled.uri.removeprefix(f"{_SCHEME}{self.pool}/")
            return f"{_SCHEME}{self.pool}/{self.role}/{path}"
        tenant = f"tenant/{self.tenant}/" if self.tenant else ""
        name = f"/{self.name}" if self.name else ""
        return f"{_SCHEME}{self.pool}/{tenant}{self.role}{name}"

    @property
    def dns_name(self) -> str | None:
        """The DNS SAN that clients verify; None for those that serve nothing."""
        if Usage.SERVER not in self.usages:
            return None
        if self.role is Role.WORKER:
            instance, n = self.name.split("/")
            return f"{n}.{instance}.{self.pool}.internal"
        host = f"{self.name}." if self.name else ""
        return f"{host}{self.role}.{self.pool}.internal"

    @property
    def usages(self) -> frozenset[Usage]:
        """The extended key usages of its leaf."""
        return _USAGES[self.role]


def _check_name(what: str, text: str) -> None:
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"{what} {text[:80]!r}: 1 to 64 of a-z 0-9 _ . -, and a letter or digit first"
        )


def _check_role_name(role: Role, name: str) -> None:
    if role is Role.MANAGER:
        if name:
            raise ValueError("the manager has no name of its own")
    elif role is Role.ENROLMENT:
        enrolled, _, own = name.partition("/")
        if enrolled not in JOINING:
            raise ValueError(f"no enrolment is of a {enrolled[:80]!r}")
        _check_name(enrolled, own)
    elif role is Role.WORKER:
        if not _WORKER.fullmatch(name):
            raise ValueError(f"worker {name[:80]!r}: an instance ei-… without dots, and a number")
    else:
        _check_name(role, name)


def identity_of_leaf(leaf: x509.Certificate) -> Identity:
    """Whose leaf it is. Says nothing of who signed it, nor of its validity.

    Raises:
        IdentityError: CERT_IDENTITY when it hasn't exactly one URI SAN that names an identity,
            CERT_USAGE when its extended key usages aren't critical or aren't the role's.
    """
    from cryptography import x509

    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        if len(uris) != 1:
            raise ValueError(f"{len(uris)} URI names")
        identity = Identity.parse(uris[0])
    except (x509.ExtensionNotFound, x509.DuplicateExtension):
        raise IdentityError(
            "CERT_IDENTITY", "the certificate names no identity of a pool: no list of names"
        ) from None
    except ValueError as error:
        raise IdentityError(
            "CERT_IDENTITY", f"the certificate names no identity of a pool: {error}"
        ) from error
    _check_usage(leaf, identity)
    return identity


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether it is a CA's, as its basic constraints say."""
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return bool(found.value.ca)


def pool_of_ca(certificate: x509.Certificate) -> str:
    """The pool whose CA it is the certificate of; it says `spiffe://<pool>`.

    Raises:
        IdentityError: CERT_IDENTITY, it names none.
    """
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        return Identity.manager(uri.removeprefix(_SCHEME)).pool
    except (x509.ExtensionNotFound, ValueError) as error:
        raise IdentityError("CERT_IDENTITY", "the CA's certificate names no pool") from error


def _check_usage(leaf: x509.Certificate, identity: Identity) -> None:
    from cryptography import x509

    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        raise IdentityError("CERT_USAGE", "the certificate states no extended key usage") from None
    if not usage.critical or {oid.dotted_string for oid in usage.value} != identity.usages:
        raise IdentityError("CERT_USAGE", f"the key usage isn't that of a {identity.role}")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection, and when the leaf that says so ends, UTC."""

    identity: Identity
    leaf_end: datetime


def peer_of(auth_context: AuthContext, pool: str) -> Peer:
    """Who is at the other end of a gRPC connection, from its verified certificate alone.

    `auth_context` is what `grpc` and `grpc.aio` servicer contexts answer to `auth_context()`.

    Raises:
        IdentityError: UNAUTHENTICATED on a connection without TLS, or whose TLS session was
            resumed; CERT_MISSING, CERT_IDENTITY or CERT_USAGE when the certificate won't do.
    """
    if not is_tls(auth_context):
        raise IdentityError("UNAUTHENTICATED", "only mutual TLS is answered here")
    # A resumed session vouches with the certificate of its first handshake, which nobody
    # checks again: it would outlive the leaf by days.
    if _first(auth_context, "ssl_session_reused") == b"true":
        raise IdentityError(
            "UNAUTHENTICATED", "a resumed TLS session proves nothing", hint="do a full handshake"
        )
    pem = _first(auth_context, "x509_pem_cert")
    if pem is None:
        raise IdentityError("CERT_MISSING", "the client showed no certificate")
    return _of_pool(_peer_of_pem(pem), pool)


def peer_of_leaf(leaf: bytes, pool: str) -> Peer:
    """Who showed the certificate `leaf`, DER, in a handshake that verified it.

    Raises:
        IdentityError: CERT_UNREADABLE, CERT_IDENTITY or CERT_USAGE when the certificate won't do.
    """
    return _of_pool(_peer_of_der(leaf), pool)


def _of_pool(peer: Peer, pool: str) -> Peer:
    if peer.identity.pool != pool:
        raise IdentityError("CERT_IDENTITY", "the certificate is another pool's")
    return peer


def is_tls(auth_context: AuthContext) -> bool:
    """Whether a gRPC connection is one of TLS, whoever is at its other end."""
    return _first(auth_context, "transport_security_type") == b"ssl"


def _first(auth_context: AuthContext, key: str) -> bytes | None:
    found = auth_context.get(key, ())
    return found if isinstance(found, bytes) else next(iter(found), None)


@lru_cache(maxsize=1024)
def _peer_of_pem(pem: bytes) -> Peer:
    from cryptography import x509

    return _read_peer(lambda: x509.load_pem_x509_certificate(pem))


@lru_cache(maxsize=1024)
def _peer_of_der(der: bytes) -> Peer:
    from cryptography import x509

    return _read_peer(lambda: x509.load_der_x509_certificate(der))


def _read_peer(read: Callable[[], x509.Certificate]) -> Peer:
    try:
        leaf = read()
    except ValueError as error:
        raise IdentityError("CERT_UNREADABLE", "the certificate can't be read") from error
    return Peer(identity_of_leaf(leaf), leaf.not_valid_after_utc)
