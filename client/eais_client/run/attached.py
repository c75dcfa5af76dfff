"""Whether a session of the program would find its instance: asked before the program runs."""

from __future__ import annotations

from eais.tls import LeafFile
from eais_client.brain.choose import check_usable, choose
from eais_client.context import Context, ContextStore
from eais_client.instances import Instance
from eais_client.pool_client import PoolClient

PATIENCE_S = 5.0


def usable_instance(store: ContextStore, context: Context, name: str) -> Instance:
    """The instance called `name`, or the only one attached here, if it can be used now.

    Raises what the program's first session would: NOT_ATTACHED, INSTANCE_AMBIGUOUS,
    INSTANCE_STOPPED, INSTANCE_FAILED, NOT_FOUND, `IdentityError`, POOL_UNREACHABLE.
    """
    with PoolClient.of_context(store, context, patience_s=PATIENCE_S) as pool:
        frontend = LeafFile(store.frontend_file(context.name)).current().identity.name
        return usable_of(pool, frontend, name)


def usable_of(pool: PoolClient, frontend: str, name: str) -> Instance:
    """As `usable_instance`, of the front-end called `frontend`."""
    if name:
        return check_usable(pool.describe(name), frontend)
    return choose(pool.list(), frontend)
