"""Whether a session of the program would find its instance: asked before the program runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Final

from eais.errors import EaisError, RemoteError, make_error
from eais.tls import LeafFile
from eais_client.brain.choose import check_usable, choose
from eais_client.context import Context, ContextStore

PATIENCE_S: Final = 5.0


def check_attached(store: ContextStore, context: Context, name: str) -> None:
    """Check that the instance called `name`, or the only one attached here, can be used now.

    Raises what the program's first session would: NOT_ATTACHED, INSTANCE_AMBIGUOUS,
    INSTANCE_STOPPED, INSTANCE_FAILED, NOT_FOUND, `IdentityError`, POOL_UNREACHABLE.
    """
    in_a_child(lambda: _check(store, context, name))


def _check(store: ContextStore, context: Context, name: str) -> None:
    from eais_client.pool_client import PoolClient

    with PoolClient.of_context(store, context, patience_s=PATIENCE_S) as pool:
        frontend = LeafFile(store.frontend_file(context.name)).current().identity.name
        if name:
            check_usable(pool.describe(name), frontend)
        else:
            choose(pool.list(), frontend)


def in_a_child(check: Callable[[], object]) -> None:
    """Call `check` in a child process, and raise here the `EaisError` that it raised.

    gRPC's threads live on for a while after the last channel was closed, and complain on
    standard error if the process becomes a program while they start another. Here there are none.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _tell(check, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    if not said:
        raise RemoteError("BUG", "the child that looked for the instance ended without an answer")
    if found := json.loads(said):
        raise make_error(found["reason"], found["message"], hint=found["hint"])


def _tell(check: Callable[[], object], pipe: int) -> None:
    """Write what `check` raised, or nothing, as JSON; end this process."""
    said = {"reason": "CANCELLED", "message": "the look for the instance", "hint": ""}
    try:
        check()
        said = {}
    except EaisError as error:
        said = {"reason": error.reason, "message": error.message, "hint": error.hint}
    except Exception as error:  # noqa: BLE001 - the process's edge: the parent tells it
        said = {"reason": "BUG", "message": f"{type(error).__name__}: {error}", "hint": ""}
    finally:
        os.write(pipe, json.dumps(said).encode())
        os._exit(0)
