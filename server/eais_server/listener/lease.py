"""A lease as its host holds it: the right of an instance to its device shares here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from eais.instance_policy import DEFAULT_POLICY, InstancePolicy


@dataclass(frozen=True, slots=True)
class Share:
    """One device share, and the worker on it.

    Attributes:
        n: the worker's number within the instance, from 1.
        device: such as "cpu0".
        milli: in milli-devices.
        port: where the worker was bound first; 0 before that.
        incarnation: of the worker that was last adopted for it; 0 before the first.
        proven: a worker of it has served, or it came with the lease.
        leaving: the pool wants it back.
        unit: of the device, in which it lies if it is a piece of one.
    """

    n: int
    device: str
    milli: int
    port: int = 0
    incarnation: int = 0
    proven: bool = True
    leaving: bool = False
    unit: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """What was granted. `address` is the instance's vNIC address.

    `granted` is whether the grant was answered: all of its workers had served once.
    `moving`: it isn't answered before the sessions that came with it are here.
    `net_plan`: the pool's `SignedNetPlan` of this end, serialised, in base64; "" if it needs none.
    `user_port`: of the listener's user plane at `address`; 0 if it has none there.
    """

    instance: str
    tenant: str
    epoch: int
    shares: tuple[Share, ...]
    address: str
    vnic_driver: str
    run_timeout_s: int
    tolerance: str
    granted: bool = False
    moving: bool = False
    policy: InstancePolicy = DEFAULT_POLICY
    net_plan: str = ""
    user_port: int = 0

    def share(self, n: int) -> Share:
        """The share of worker `n`; KeyError if there is none."""
        return {share.n: share for share in self.shares}[n]

    def with_share(self, changed: Share) -> Lease:
        """The lease with the share of the same number replaced."""
        shares = tuple(changed if share.n == changed.n else share for share in self.shares)
        return replace(self, shares=shares)

    def without(self, n: int) -> Lease:
        """The lease without that share."""
        return replace(self, shares=tuple(share for share in self.shares if share.n != n))
