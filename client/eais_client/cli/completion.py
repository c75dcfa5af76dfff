"""What the shell completes: instances of the pool, contexts. Silent when it can't be known."""

from __future__ import annotations

from collections.abc import Callable

from eais.deadline import deadline
from eais.errors import EaisError
from eais_client.cli.local_pool import check_runs
from eais_client.cli.outside import Outside
from eais_client.context import ContextStore
from eais_client.pool_client import OperatorClient

# A person waits for the key to answer.
PATIENCE_S = 1.0


def complete_instances(outside: Outside, context: str, incomplete: str) -> list[tuple[str, str]]:
    """Ids that begin with `incomplete`, each with its type and state."""
    store = ContextStore.of_environ(outside.environ)
    try:
        with deadline(PATIENCE_S):
            chosen = store.current(outside.environ, context or None)
            check_runs(chosen, outside.processes())
            with outside.connect(store, chosen) as pool:
                found = pool.list()
    except EaisError:
        return []
    return [(one.id, f"{one.type} {one.state}") for one in found if one.id.startswith(incomplete)]


def complete_hosts(outside: Outside, context: str, incomplete: str) -> list[str]:
    """Back-ends whose names begin with `incomplete`; for operators."""
    names = _of_operator(outside, context, lambda client: [h.host for h in client.status().hosts])
    return [name for name in names if name.startswith(incomplete)]


def complete_tenants(outside: Outside, context: str, incomplete: str) -> list[str]:
    """Tenants whose names begin with `incomplete`; for operators."""
    names = _of_operator(outside, context, lambda client: [t.name for t in client.tenants()])
    return [name for name in names if name.startswith(incomplete)]


def _of_operator(
    outside: Outside, context: str, ask: Callable[[OperatorClient], list[str]]
) -> list[str]:
    store = ContextStore.of_environ(outside.environ)
    try:
        with deadline(PATIENCE_S):
            chosen = store.current(outside.environ, context or None)
            check_runs(chosen, outside.processes())
            with outside.connect_operator(store, chosen) as client:
                return ask(client)
    except EaisError:
        return []


def complete_contexts(outside: Outside, incomplete: str) -> list[str]:
    """Names of contexts that begin with `incomplete`."""
    try:
        names = ContextStore.of_environ(outside.environ).read().contexts
    except EaisError:
        return []
    return [name for name in sorted(names) if name.startswith(incomplete)]
