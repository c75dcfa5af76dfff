"""gRPC's credentials of a `Bundle`: what a channel shows, and what a server's port does.

Apart from `eais.tls` because importing gRPC takes time that not everyone who looks at a leaf has.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

import grpc

from eais.errors import IdentityError
from eais.tls import Bundle, issuer_pem

_log = logging.getLogger(__name__)


def client_credentials(bundle: Bundle) -> grpc.ChannelCredentials:
    """What a channel is made with: shows the leaf, trusts the pool's CA alone.

    Python's channels can't change their leaf: after a renewal, make a new channel.
    """
    return grpc.ssl_channel_credentials(bundle.ca_pem, bundle.key_pem, bundle.leaf_pem)


def server_credentials(
    fetch: Callable[[], Bundle], refused: Callable[[IdentityError], None] | None = None
) -> grpc.ServerCredentials:
    """What **one** port of a `grpc` or `grpc.aio` server is made with; clients must show a leaf.

    `fetch` is asked at each handshake, on a thread of gRPC's; a bundle that differs from the
    last serves handshakes from then on. When it raises IdentityError the last good bundle
    stays, and `refused` is told once for each fault (default: a line in the log). gRPC hands
    the first configuration to one port alone: make new credentials for each port, and for
    each attempt to open one.

    Raises:
        IdentityError: what the first `fetch` raised.
    """
    source = _BundleSource(fetch, refused or _log_refused, _server_configuration)
    changed = cast("Callable[[], grpc.ServerCertificateConfiguration]", source.changed)
    return grpc.dynamic_ssl_server_credentials(
        _server_configuration(source.held), changed, require_client_authentication=True
    )


def open_server_credentials(fetch: Callable[[], Bundle]) -> grpc.ServerCredentials:
    """What one port of a server is made with that whoever comes may call, without a leaf.

    It shows its CA's certificate behind its leaf, so that who knows no more of the pool than
    that certificate's hash can tell whether it is the pool's. `fetch` as in
    `server_credentials`.

    Raises:
        IdentityError: what the first `fetch` raised.
    """
    source = _BundleSource(fetch, _log_refused, _open_configuration)
    changed = cast("Callable[[], grpc.ServerCertificateConfiguration]", source.changed)
    return grpc.dynamic_ssl_server_credentials(
        _open_configuration(source.held), changed, require_client_authentication=False
    )


class _BundleSource:
    """Tells gRPC of a new bundle once; serialised by gRPC's own lock around the handshake."""

    def __init__(
        self,
        fetch: Callable[[], Bundle],
        refused: Callable[[IdentityError], None],
        configure: Callable[[Bundle], grpc.ServerCertificateConfiguration],
    ) -> None:
        self._fetch = fetch
        self._refused = refused
        self._configure = configure
        self._fault = ""
        self.held = fetch()

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            bundle = self._fetch()
        except IdentityError as error:
            self._tell(error)
            return None
        self._fault = ""
        if bundle == self.held:
            return None
        self.held = bundle
        return self._configure(bundle)

    def _tell(self, error: IdentityError) -> None:
        if str(error) != self._fault:
            self._fault = str(error)
            self._refused(error)


def _log_refused(error: IdentityError) -> None:
    _log.error("the old identity is kept: %s", error)


def _server_configuration(bundle: Bundle) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(bundle.key_pem, bundle.leaf_pem)], bundle.ca_pem
    )


def _open_configuration(bundle: Bundle) -> grpc.ServerCertificateConfiguration:
    chain = bundle.leaf_pem + issuer_pem(bundle)
    return grpc.ssl_server_certificate_configuration([(bundle.key_pem, chain)])
