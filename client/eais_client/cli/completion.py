"""What the shell completes: instances of the pool, contexts. Silent when it can't be known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from eais.deadline import deadline
from eais.errors import EaisError
from eais_client.cli.local_pool import check_runs
from eais_client.cli.outside import Outside
from eais_client.context import Context, ContextStore

Client = TypeVar("Client")
Found = TypeVar("Found")

# A person waits for the key to answer.
PATIENCE_S = 1.0


def complete_instances(outside: Outside, context: str, incomplete: str) -> list[tuple[str, str]]:
    """Ids that begin with `incomplete`, each with its type and state."""
    found = _asked(outside, context, outside.connect, lambda pool: pool.list())
    return [(one.id, f"{one.type} {one.state}") for one in found if one.id.startswith(incomplete)]


def complete_hosts(outside: Outside, context: str, incomplete: str) -> list[str]:
    """Back-ends whose names begin with `incomplete`; for operators."""
    hosts = _asked(outside, context, outside.connect_operator, lambda client: client.status().hosts)
    return [one.host for one in hosts if one.host.startswith(incomplete)]


def complete_tenants(outside: Outside, context: str, incomplete: str) -> list[str]:
    """Tenants whose names begin with `incomplete`; for operators."""
    tenants = _asked(outside, context, outside.connect_operator, lambda client: client.tenants())
    return [one.name for one in tenants if one.name.startswith(incomplete)]


def _asked(
    outside: Outside,
    context: str,
    connect: Callable[[ContextStore, Context], AbstractContextManager[Client]],
    ask: Callable[[Client], Sequence[Found]],
) -> Sequence[Found]:
    store = ContextStore.of_environ(outside.environ)
    try:
        with deadline(PATIENCE_S):
            chosen = store.current(outside.environ, context or None)
            check_runs(chosen, outside.processes())
            with connect(store, chosen) as client:
                return ask(client)
    except EaisError:
        return ()


def complete_contexts(outside: Outside, incomplete: str) -> list[str]:
    """Names of contexts that begin with `incomplete`."""
    try:
        names = ContextStore.of_environ(outside.environ).read().contexts
    except EaisError:
        return []
    return [name for name in sorted(names) if name.startswith(incomplete)]
