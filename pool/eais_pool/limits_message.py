"""Limits of bindings: as they are asked for, and as their owner is shown them."""

from __future__ import annotations

from eais.binding_limits import BindingLimits
from eais.rpc.v1 import pool_pb2
from eais_pool.brain.limits import spent
from eais_pool.brain.state import PoolState


def limits_of(message: pool_pb2.BindingLimits) -> BindingLimits:
    """What was asked; raises as `BindingLimits.checked`."""
    return BindingLimits.checked(message.ttl_ms / 1000, message.budget, message.idle_ms / 1000)


def binding_message(state: PoolState, instance: str, at: float) -> pool_pb2.Binding | None:
    """How far a binding is at `at` of the boot clock; None if it has no limits."""
    binding = state.bindings.get(instance)
    if binding is None:
        return None
    limits, now = binding.limits, state.ledger_time(at)
    said = pool_pb2.BindingLimits(
        ttl_ms=round(limits.ttl_s * 1000),
        budget=limits.budget,
        idle_ms=round(limits.idle_s * 1000),
    )
    found = pool_pb2.Binding(limits=said, spent=spent(state, binding, now))
    if binding.since and limits.ttl_s:
        found.time_left_s = max(0.0, binding.since + limits.ttl_s - now)
    if binding.since and limits.idle_s:
        found.idle_left_s = max(0.0, binding.used_at + limits.idle_s - now)
    return found
