"""What states an instance goes through while a verb is waited for, shown as it goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from eais.errors import EaisError
from eais.instance import InstanceState
from eais_client.cli.progress import Progress, Silent
from eais_client.instances import Instance
from eais_client.pool_client import PoolClient

LOOK_EVERY_S = 0.1


def _news(one: Instance, before: Mapping[str, InstanceState]) -> bool:
    """Whether it isn't as it was; one that waits in line is spoken of by who waits for it."""
    return one.line is None and before.get(one.id) != one.state


@contextmanager
def shown_states(pool: PoolClient, progress: Progress, text: str) -> Iterator[None]:
    """While the block waits for the pool, show what moves: `TEXT: ei-7f3a BOUND`."""
    if isinstance(progress, Silent):
        yield
        return
    before = {one.id: one.state for one in pool.list()}
    done = threading.Event()

    def look() -> None:
        while not done.wait(LOOK_EVERY_S):
            try:
                moved = [one for one in pool.list() if _news(one, before)]
            except EaisError:
                return  # the verb itself will say it
            if moved:
                progress.step(f"{text}: {moved[-1].id} {moved[-1].state}")

    watcher = threading.Thread(target=look, name="eais-states", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
