"""TLS of the data plane: what the `ssl` module shows and trusts, made of a `Bundle` in memory.

Both ends show a leaf and trust their pool's CAs alone. Each connection is a full handshake:
tickets are neither given nor taken, and `verified_leaf` refuses a session that was resumed all
the same. A context doesn't change: after a renewal make another, for the connections to come.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from eais.errors import IdentityError
from eais.tls import Bundle

ALPN: Final = "h2"
# Of TLS 1.2, which has no others that HTTP/2 allows for our keys (RFC 9113, 9.2.2); TLS 1.3's
# suites are all good and not chosen by this.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
_REFUSED_FLAGS: Final = ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET


def server_context(bundle: Bundle) -> ssl.SSLContext:
    """What a server wraps its accepted sockets with; clients must show a leaf.

    Raises:
        IdentityError: CERT_UNREADABLE, this machine's OpenSSL can't use the bundle.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, bundle)
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(bundle: Bundle) -> ssl.SSLContext:
    """What a client wraps its sockets with, `server_hostname` being the server's DNS name.

    The name is looked for among the certificate's DNS names alone.

    Raises:
        IdentityError: as `server_context`.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, bundle)
    context.hostname_checks_common_name = False
    return context


def verified_leaf(connection: ssl.SSLSocket | ssl.SSLObject) -> bytes:
    """The certificate, DER, that the peer has shown in this connection's own handshake.

    Raises:
        IdentityError: UNAUTHENTICATED when its TLS session was resumed, CERT_MISSING.
    """
    # A resumed session vouches with the certificate of its first handshake, which nobody
    # checks again: it would outlive the leaf by days.
    if connection.session_reused:
        raise IdentityError(
            "UNAUTHENTICATED", "a resumed TLS session proves nothing", hint="do a full handshake"
        )
    leaf = connection.getpeercert(binary_form=True)
    if leaf is None:
        raise IdentityError("CERT_MISSING", "the peer showed no certificate")
    return leaf


def _context(protocol: int, bundle: Bundle) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= _REFUSED_FLAGS
    context.verify_flags |= ssl.VERIFY_X509_TRUSTED_FIRST
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols([ALPN])
    try:
        context.load_verify_locations(cadata=bundle.ca_pem.decode("ascii"))
        with _as_file(bundle.leaf_pem + bundle.key_pem) as path:
            context.load_cert_chain(path)
    except (ssl.SSLError, ValueError) as error:
        whose = f"the certificate of {bundle.identity.uri}"
        raise IdentityError("CERT_UNREADABLE", f"{whose} can't be used for TLS") from error
    return context


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path to `content`, for who reads files alone: it never touches a disk.

    The process itself may open its own descriptors this way wherever it is confined.
    """
    descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
