"""An instance that is made for a test, and is gone after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from eais.errors import EaisError
from eais_client.cli.signals import held_back, undisturbed
from eais_client.instances import Instance
from eais_client.pool_client import PoolClient


@dataclass(slots=True)
class Attached:
    """It, and how long attaching and detaching took, in seconds; None: that wasn't done."""

    instance: Instance
    attach_s: float | None
    detach_s: float | None = None


@contextmanager
def attached(
    pool: PoolClient,
    type: str,
    *,
    vnic: str,
    clock: Callable[[], float],
    note: Callable[[str], None],
) -> Iterator[Attached]:
    """An instance of `type` for the length of a block, however the block ends.

    `vnic`: as `PoolClient.attach` takes it.

    Signals that come while it is made or taken away wait for that. What hinders detaching is
    said by `note`: what hindered the test says more.
    """
    made: Attached | None = None
    try:
        # A signal that was held back is felt where this ends, when there is one to take away.
        with held_back():
            began = clock()
            made = Attached(pool.attach(type=type, vnic=vnic), 0.0)
            made.attach_s = clock() - began
        yield made
    finally:
        if made is not None:
            _detach(pool, made, clock, note)


def _detach(
    pool: PoolClient, made: Attached, clock: Callable[[], float], note: Callable[[str], None]
) -> None:
    with undisturbed():
        began = clock()
        try:
            pool.detach(made.instance.id)
            made.detach_s = clock() - began
        except EaisError as error:
            note(f"{made.instance.id} is still attached: {error.reason}: {error.message}")
