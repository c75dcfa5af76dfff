"""What happened to those that wait in line, and to bindings with limits, as `facts`. (Brain)

Of a binding without limits nothing is kept. Its times are ledger time, which no reboot sets back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from eais.binding_limits import BindingLimits
from eais_pool.brain.charges import charge
from eais_pool.brain.ledger_records import ChargeLine

if TYPE_CHECKING:
    from eais_pool.brain.state import PoolState


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding that has limits, and how far it is.

    Attributes:
        since: when it was granted; 0: it wasn't yet.
        used_at: when it was last known to be used; at first as `since`.
        spent: what was charged, up to what its leases are charged for now.
        warned: of which limits its front-end was told that they are near: "time", "budget".
    """

    instance: str
    limits: BindingLimits
    since: float = 0.0
    used_at: float = 0.0
    spent: float = 0.0
    warned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LineLeft:
    """There is room for an operation that waited: it goes on. `at`: boot clock."""

    tenant: str
    op_id: str
    at: float


@dataclass(frozen=True, slots=True)
class LimitsSaid:
    """The owner of an instance that is being bound, or is, says how long that lasts."""

    instance: str
    limits: BindingLimits


@dataclass(frozen=True, slots=True)
class LimitsBegan:
    """The binding was granted. `at`: ledger time."""

    instance: str
    at: float


@dataclass(frozen=True, slots=True)
class BindingUsed:
    """There were calls, or it can't be known whether there were. `at`: ledger time."""

    instance: str
    at: float


@dataclass(frozen=True, slots=True)
class LimitNear:
    """The front-end was told that the binding ends soon, and for what."""

    instance: str
    limit: str


@dataclass(frozen=True, slots=True)
class LimitReached:
    """The pool ends the binding, and why."""

    instance: str
    reason: str
    detail: str


LimitFact = LimitsSaid | LimitsBegan | BindingUsed | LimitNear | LimitReached
BindingFact = LineLeft | LimitFact


def spend(state: PoolState, instance: str, lines: Iterable[ChargeLine]) -> None:
    """For `apply`: lines of the ledger ended, of a binding that may have limits."""
    binding = state.bindings.get(instance)
    if binding is not None:
        state.bindings[instance] = replace(binding, spent=binding.spent + cost_of(lines))


def cost_of(lines: Iterable[ChargeLine]) -> float:
    """What lines come to, in the unit of the pool's prices."""
    return sum(
        charge(line.price_per_h * line.milli / 1000, line.ended - line.began) for line in lines
    )


def _said(state: PoolState, fact: LimitsSaid) -> None:
    if fact.instance not in state.instances:
        raise KeyError(fact.instance)
    binding = state.bindings.get(fact.instance) or Binding(fact.instance, fact.limits)
    state.bindings[fact.instance] = replace(binding, limits=fact.limits, warned=())


def _began(state: PoolState, fact: LimitsBegan) -> None:
    binding = state.bindings[fact.instance]
    state.bindings[fact.instance] = replace(binding, since=fact.at, used_at=fact.at)


def _used(state: PoolState, fact: BindingUsed) -> None:
    binding = state.bindings[fact.instance]
    state.bindings[fact.instance] = replace(binding, used_at=max(binding.used_at, fact.at))


def _near(state: PoolState, fact: LimitNear) -> None:
    binding = state.bindings[fact.instance]
    state.bindings[fact.instance] = replace(binding, warned=(*binding.warned, fact.limit))


def _reached(state: PoolState, fact: LimitReached) -> None:
    """From here on it is as any other that is being detached."""
    del state.bindings[fact.instance]
    instance = state.instances[fact.instance]
    state.instances[fact.instance] = replace(instance, reason=fact.reason, detail=fact.detail)


def begin_anew(state: PoolState, at: float) -> None:
    """After a restart of the manager, which doesn't know who called meanwhile. `at`: boot clock."""
    now = state.ledger_time(at)
    for binding in list(state.bindings.values()):
        if binding.since:
            state.bindings[binding.instance] = replace(binding, used_at=now)


LIMIT_FACTS: Final[Mapping[type[Any], Callable[[PoolState, Any], None]]] = {
    LimitsSaid: _said,
    LimitsBegan: _began,
    BindingUsed: _used,
    LimitNear: _near,
    LimitReached: _reached,
}
