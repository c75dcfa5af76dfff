"""Who may do what with which instance here. (Brain)

The tenant is the caller's certificate's, never a field's. An instance that
isn't held here and one that is another tenant's get the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from eais.errors import EaisError, make_error
from eais_server.listener.lease import Lease

_SHARED_LEVEL = 2


@dataclass(slots=True)
class Admission:
    """The leases that are held here, by instance. `level` is the isolation of workers."""

    level: int
    leases: dict[str, Lease] = field(default_factory=dict)

    def admit(self, tenant: str, instance: str, epoch: int) -> Lease:
        """The lease that a front-end of `tenant` may use.

        Raises:
            UsageError: NOT_FOUND, the instance isn't here or isn't the tenant's.
            AttachmentLost: STALE_EPOCH, a newer lease is held.
            Unavailable: NO_WORKER, the caller has heard of a newer lease than is held here:
                it is on its way, or it is another host's and this one's is about to end.
        """
        lease = self.leases.get(instance)
        if lease is None or lease.tenant != tenant:
            raise make_error("NOT_FOUND", "no such instance on this listener")
        if epoch < lease.epoch:
            raise _stale(lease, epoch)
        if epoch > lease.epoch:
            raise make_error("NO_WORKER", "that lease isn't held here", metadata=_epochs(lease))
        return lease

    def check_grant(self, instance: str, tenant: str, epoch: int, tenants: frozenset[str]) -> None:
        """Whether a grant may begin, while grants to `tenants` are being prepared.

        Raises:
            AttachmentLost: STALE_EPOCH, a newer lease of the instance is held.
            RemoteError: ISOLATION_UNAVAILABLE, workers aren't confined well enough for a
                second tenant.
        """
        held = self.leases.get(instance)
        if held is not None and epoch < held.epoch:
            raise _stale(held, epoch)
        others = {lease.tenant for lease in self.leases.values()} | tenants
        if self.level < _SHARED_LEVEL and others - {tenant}:
            raise make_error(
                "ISOLATION_UNAVAILABLE",
                f"this host isolates workers at level {self.level}, so it serves one tenant only",
            )


def _stale(lease: Lease, epoch: int) -> EaisError:
    return make_error(
        "STALE_EPOCH",
        f"epoch {epoch} is over, the lease held here is of epoch {lease.epoch}",
        metadata=_epochs(lease),
    )


def _epochs(lease: Lease) -> Mapping[str, str]:
    return {"instance": lease.instance, "epoch": str(lease.epoch)}
