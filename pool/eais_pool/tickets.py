"""Where a host gets the models of an instance that it is granted: sources, each with a ticket."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from eais import tls
from eais.errors import IdentityError
from eais.identity import Identity
from eais.rpc.v1 import hosts_pb2
from eais.ticket import sign_ticket
from eais_pool.brain.actions import Grant
from eais_pool.brain.host_records import HostRecord
from eais_pool.wire import endpoint_message, specs_of

log = logging.getLogger(__name__)

TICKET_LIFE = timedelta(hours=1)
# A command fits in one message, whatever it names.
_MOST_DIGEST_BYTES = 8 << 20
_DIGEST_BYTES = 34


@dataclass(frozen=True, slots=True)
class Tickets:
    """The manager's signature under tickets.

    Attributes:
        leaf: its identity now.
        wall: the time of day, UTC.
        hosts: the pool's hosts as they are now.
    """

    pool: str
    leaf: Callable[[], tls.Bundle]
    wall: Callable[[], datetime]
    hosts: Callable[[], Mapping[str, HostRecord]]

    def sources(self, grant: Grant, to: str) -> list[hosts_pb2.ModelSource]:
        """Where `to` may get the models of the grant's sessions, and the tickets for that.

        Nowhere, if the manager's own identity can't be read now.
        """
        return self.of(grant.tenant, grant.instance, grant.sessions, grant.sources, to)

    def of(
        self, tenant: str, instance: str, sessions: Sequence[str], names: Sequence[str], to: str
    ) -> list[hosts_pb2.ModelSource]:
        """Where `to` may get the models of a tenant's sessions: at the hosts of these names.

        `instance`: for whose sake. Nowhere, as `sources`.
        """
        specs = specs_of(sessions)
        digests = sorted({file.sha256 for spec in specs for file in spec.files})
        most = max(1, _MOST_DIGEST_BYTES // (_DIGEST_BYTES * max(1, len(digests))))
        found = [self.hosts()[name] for name in names[:most]]
        if not found or not digests:
            return []
        try:
            leaf = self.leaf()
        except IdentityError as error:
            log.error("no tickets for %s: %s", instance, error)
            return []
        return [self._source(tenant, instance, host, to, digests, leaf) for host in found]

    def _source(
        self,
        tenant: str,
        instance: str,
        host: HostRecord,
        to: str,
        digests: list[bytes],
        leaf: tls.Bundle,
    ) -> hosts_pb2.ModelSource:
        if host.management_plane is None:
            raise ValueError(f"{host.host} can't be asked for models")
        ticket = hosts_pb2.Ticket(
            pool=self.pool,
            tenant=tenant,
            instance=instance,
            to=to,
            sha256=digests,
            not_after_unix_s=int((self.wall() + TICKET_LIFE).timestamp()),
        )
        # "from" is a word of Python's.
        setattr(ticket, "from", host.host)
        listener = Identity.listener(self.pool, host.host)
        return hosts_pb2.ModelSource(
            listener=endpoint_message(host.management_plane, listener),
            ticket=sign_ticket(ticket, leaf),
        )
