"""Tenants: which there are, and what operators change of them. (Brain)"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from eais.device_type import DeviceKind
from eais.errors import UsageError
from eais.identity import Identity
from eais_pool.brain.draft import Draft
from eais_pool.brain.events import TenantRequested
from eais_pool.brain.membership import Limits, TenantRecord, TenantSet, TenantView
from eais_pool.brain.quotas import (
    INSTANCES,
    OPERATIONS,
    WEIGHT,
    WEIGHT_MOST,
    Quotas,
    in_force,
    instances_of,
    milli_of,
    operations_of,
)
from eais_pool.brain.state import PoolState

DEFAULT_TENANT: Final = "default"
MOST: Final = 1 << 53
"""The highest limit."""

_KINDS = tuple(kind.value for kind in DeviceKind)
_KNOWN = (INSTANCES, OPERATIONS, *_KINDS, WEIGHT)
_EIGHTH = 125


def tenant_names(quotas: Quotas, state: PoolState) -> list[str]:
    """The tenants that there are: the default one, the configuration's, and operators'."""
    return sorted({DEFAULT_TENANT, *quotas.tenants, *state.members.tenants})


def check_tenant(quotas: Quotas, state: PoolState, tenant: str) -> None:
    """`UsageError` NAME if it can't be a tenant's name, NOT_FOUND if it is none's."""
    check_name("tenant", tenant)
    if tenant not in tenant_names(quotas, state):
        raise UsageError(
            "NOT_FOUND", f"there is no tenant {tenant!r}", hint="eais tenant create makes one"
        )


def check_name(what: str, name: str) -> None:
    """`UsageError` NAME, unless it can stand in a certificate."""
    try:
        Identity.frontend("pool", name, "any")
    except ValueError as error:
        text = str(error).removeprefix("tenant ")
        raise UsageError("NAME", f"{what} {text}") from None


def view_of_tenant(quotas: Quotas, state: PoolState, tenant: str) -> TenantView:
    """The tenant as operators see it now."""
    used = {INSTANCES: instances_of(state, tenant), OPERATIONS: operations_of(state, tenant)}
    used |= {kind: milli for kind, milli in milli_of(state, tenant).items() if milli}
    limits = in_force(quotas, state, tenant)
    return TenantView(tenant, _in_order(limits.items()), _in_order(used.items()))


def set_tenant(quotas: Quotas, draft: Draft, event: TenantRequested) -> TenantView:
    """Make a tenant, or change the quotas of one.

    Raises:
        UsageError: NAME; NAME_TAKEN, it is to be made and is there; NOT_FOUND; ARGUMENT, of a
            quota.
    """
    state, name = draft.state, event.tenant
    if event.create:
        check_name("tenant", name)
        if name in tenant_names(quotas, state):
            raise UsageError("NAME_TAKEN", f"there is a tenant {name!r} already")
    else:
        check_tenant(quotas, state, name)
    _check_changes(event)
    held = state.members.tenants.get(name, TenantRecord(name))
    kept = {what: limit for what, limit in held.quotas if what not in event.defaults}
    draft.record(TenantSet(TenantRecord(name, _in_order((kept | dict(event.quotas)).items()))))
    return view_of_tenant(quotas, draft.state, name)


def _check_changes(event: TenantRequested) -> None:
    named = [what for what, _ in event.quotas] + list(event.defaults)
    for what in named:
        if what not in _KNOWN:
            known = ", ".join(_KNOWN)
            raise UsageError("ARGUMENT", f"there is no quota of {what[:64]!r}; known: {known}")
    if len(set(named)) != len(named):
        raise UsageError("ARGUMENT", "a quota is named twice")
    for what, limit in event.quotas:
        _check_limit(what, limit)


def _check_limit(what: str, limit: int | None) -> None:
    if what == WEIGHT and not 1 <= (limit or 0) <= WEIGHT_MOST:
        raise UsageError("ARGUMENT", f"a tenant's weight is 1 to {WEIGHT_MOST}")
    if limit is None:
        return
    if not 0 <= limit <= MOST:
        raise UsageError("ARGUMENT", f"a quota of {what} is 0 to {MOST}, or unlimited")
    if what in _KINDS and limit % _EIGHTH:
        text = f"{limit} milli-devices of {what}: devices are lent in eighths, of {_EIGHTH} each"
        raise UsageError("ARGUMENT", text)


def _in_order(limits: Iterable[tuple[str, int | None]]) -> Limits:
    """By name, so that equal quotas are equal records."""
    return tuple(sorted(limits))
