"""A process that has no descriptor left when it is to connect."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from eais.identity import Identity
from eais.instance_policy import RingPolicy
from eais.net.asking import NetAgent
from eais_client.brain.transport import Transport
from eais_client.context import Context
from eais_client.grpc_wire import GrpcWire
from eais_client.instances import Address
from eais_client.vnic_ends import VnicEnds
from tests.descriptors import no_descriptors
from tests.unit.client.served import POOL, Heard, rig


@pytest.mark.parametrize("transport", [Transport.H2, Transport.RING, Transport.AUTO])
def test_a_connection_that_could_not_be_made_leaves_nothing_open(
    tmp_path: Path, transport: Transport
) -> None:
    with rig(tmp_path) as served:
        address = Address("127.0.0.1", 1, str(Identity.worker(POOL, "ei-1", 1).dns_name))
        wire = GrpcWire(served.dialer(), Context("c", POOL, "127.0.0.1:1"), VnicEnds(NetAgent()))

        def stream() -> None:
            wire.stream(1, address, Heard(), transport, RingPolicy.AUTO).close()

        stream()  # what is made once is made
        spare = 0
        while (after := left_after(stream, spare)) is not None:
            assert after >= spare  # others may close some meanwhile
            spare += 1
        wire.close()


def left_after(make: Callable[[], None], spare: int) -> int | None:
    """How many descriptors there are when `make` has failed with so many; None if they will do."""
    with no_descriptors() as taken:
        for _ in range(spare):
            os.close(taken.pop())
        try:
            make()
        except OSError:
            return left()
    return None


def left() -> int:
    """How many descriptors there are to be had."""
    taken: list[int] = []
    with suppress(OSError):
        while True:
            taken.append(os.dup(0))
    for fd in taken:
        os.close(fd)
    return len(taken)
