"""How much a tenant may have, and what is said when it asks for more. (Brain)

Quotas bound what is asked for now. One that is lowered below what a tenant has
takes nothing away: only what is new is refused, until there is room again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from eais.device_type import DeviceKind, DeviceType, devices_text
from eais.errors import EaisError, make_error
from eais_pool.brain.records import OpVerb
from eais_pool.brain.state import PoolState

INSTANCES = "instances"
OPERATIONS = "operations"
WEIGHT = "weight"
"""A tenant's part of what is waited for, against that of others; 1 if nothing was said."""
WEIGHT_MOST = 1000
OPERATORS_MOST = 100_000
"""How many answers to operators are remembered: of tokens and tenants, and of hosts."""
_GIVING_BACK = (OpVerb.STOP, OpVerb.DETACH, OpVerb.DELETE)


@dataclass(frozen=True, slots=True)
class Quotas:
    """What tenants may have: instances, operations, milli-devices by kind; unnamed is unlimited.

    And their weights.

    Attributes:
        default: every tenant's.
        tenants: a tenant's own, key by key in the place of the default's; None: unlimited.
    """

    default: Mapping[str, int] = field(default_factory=dict)
    tenants: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict)

    def naming(self, tenants: Iterable[str]) -> Quotas:
        """The same, with these tenants named, too: they are then known without an operator."""
        return Quotas(self.default, {**{name: {} for name in tenants}, **self.tenants})

    def of(self, tenant: str) -> dict[str, int]:
        """The limits of one tenant, as configured."""
        limits = {**self.default, **self.tenants.get(tenant, {})}
        return {key: limit for key, limit in limits.items() if limit is not None}


def in_force(quotas: Quotas, state: PoolState, tenant: str) -> dict[str, int]:
    """The limits of one tenant: the configuration's, and key by key what operators set."""
    record = state.members.tenants.get(tenant)
    limits = {**quotas.default, **quotas.tenants.get(tenant, {})}
    limits |= dict(record.quotas) if record else {}
    return {key: limit for key, limit in limits.items() if limit is not None}


def operations_of(state: PoolState, tenant: str) -> int:
    """How many of the tenant's operations are remembered."""
    return sum(owner == tenant for owner, _ in state.ops)


def instances_of(state: PoolState, tenant: str) -> int:
    """How many instances the tenant has, whatever state they are in."""
    return state.index.instances.get(tenant, 0)


def milli_of(state: PoolState, tenant: str) -> dict[str, int]:
    """Milli-devices that the tenant has or is getting, by kind.

    What is being taken back counts until its host says that it is free, unless that host can't
    be asked: it isn't the tenant's to end that.
    """
    kinds = (kind.value for kind in DeviceKind)
    found = {kind: state.index.milli.get((tenant, kind), 0) for kind in kinds}
    return {kind: milli for kind, milli in found.items() if milli}


def check_create(quotas: Quotas, state: PoolState, tenant: str) -> None:
    """`RemoteError` QUOTA if the tenant has all the instances that it may have."""
    limit = in_force(quotas, state, tenant).get(INSTANCES)
    if limit is not None:
        used = instances_of(state, tenant)
        if used + 1 > limit:
            text = f"a tenant's quota is {limit} instances here, and {used} are there"
            raise _quota(text, INSTANCES, used, 1, limit, hint="detach or delete one")


def check_operation(quotas: Quotas, state: PoolState, tenant: str, verb: OpVerb) -> None:
    """`RemoteError` QUOTA if too many of the tenant's operations are remembered for a new one.

    What gives something back may be done twice as often: it is needed most when all is full.
    """
    quota = in_force(quotas, state, tenant).get(OPERATIONS)
    limit = None if quota is None else quota * (2 if verb in _GIVING_BACK else 1)
    if limit is not None and len(state.ops) >= limit:
        used = operations_of(state, tenant)
        if used + 1 > limit:
            text = (
                f"a tenant's quota is {limit} operations in a day here, and {used} were asked for"
            )
            raise _quota(text, OPERATIONS, used, 1, limit, hint="later")


def check_operators(asked: int) -> None:
    """`RemoteError` QUOTA if so many answers to operators are remembered that no more may be."""
    if asked >= OPERATORS_MOST:
        text = f"operators may ask for {OPERATORS_MOST} such things in a day, as they have"
        raise _quota(text, OPERATIONS, asked, 1, OPERATORS_MOST, hint="later")


def check_start(
    quotas: Quotas, state: PoolState, tenant: str, wanted: DeviceType
) -> frozenset[str]:
    """The kinds that `wanted` may not be of, since the tenant has all that it may have.

    Raises:
        RemoteError: QUOTA, no kind is left.
    """
    limits, used = in_force(quotas, state, tenant), milli_of(state, tenant)
    kinds = [wanted.kind.value] if wanted.kind else [kind.value for kind in DeviceKind]
    full = [
        kind for kind in kinds if kind in limits and used.get(kind, 0) + wanted.milli > limits[kind]
    ]
    if len(full) < len(kinds):
        return frozenset(full)
    kind = full[0]
    raise _kind_quota(kind, used.get(kind, 0), wanted.milli, limits[kind])


def left_of(quotas: Quotas, state: PoolState, tenant: str) -> dict[str, int]:
    """Milli-devices of each kind that has a quota which the tenant may still have."""
    limits, used = in_force(quotas, state, tenant), milli_of(state, tenant)
    kinds = (kind.value for kind in DeviceKind)
    return {kind: max(0, limits[kind] - used.get(kind, 0)) for kind in kinds if kind in limits}


def kind_refusal(
    quotas: Quotas, state: PoolState, tenant: str, wanted: DeviceType, kind: str
) -> EaisError:
    """QUOTA for `kind`: it alone has room, and the tenant may have no more of it."""
    used = milli_of(state, tenant).get(kind, 0)
    return _kind_quota(kind, used, wanted.milli, in_force(quotas, state, tenant)[kind])


def _kind_quota(kind: str, used: int, asked: int, limit: int) -> EaisError:
    text = (
        f"a tenant's quota of {kind} is {devices_text(limit)} here; {devices_text(used)} of it "
        f"is used, and {devices_text(asked)} more is asked for"
    )
    # Where the quota is too small for it, giving something back is no help.
    hint = "stop or detach an instance" if asked <= limit else "take a smaller type"
    return _quota(text, f"{kind}_milli", used, asked, limit, hint)


def _quota(text: str, what: str, used: int, asked: int, limit: int, hint: str) -> EaisError:
    metadata = {"quota": what, "used": str(used), "asked": str(asked), "limit": str(limit)}
    return make_error("QUOTA", text, hint=hint, metadata=metadata)
