"""Who comes for a ring while there is no descriptor for them."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

import pytest

from eais.instance_policy import RingPolicy
from eais.transport.ring.end import RingEnd
from eais.transport.ring.handover import listening_socket, take_over
from eais.transport.ring.memory import KEEPS_ORDER
from eais_server.worker.ring_door import RingDoor

pytestmark = pytest.mark.skipif(not KEEPS_ORDER, reason="no rings on this kind of processor")


class Full(socket.socket):
    """A listening socket that has no descriptor for who connects."""

    full = True
    asked = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.asked += 1
        if self.full:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


def test_without_descriptors_nobody_is_asked_for_again_and_again() -> None:
    async def test() -> None:
        listening = Full(fileno=listening_socket().detach())
        door, taken = RingDoor(listening, RingPolicy.ON), list[RingEnd]()
        offer = door.offer(taken.append)
        assert offer is not None
        coming = asyncio.create_task(asyncio.to_thread(take_over, offer, lambda _peer: True))
        while not listening.asked:  # noqa: ASYNC110 - of what has no event
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        other = door.offer(taken.append)
        assert other is not None
        for _ in range(20):
            await asyncio.sleep(0)
        assert listening.asked == 1
        listening.full = False
        door._pause_ends()
        for end in (await coming, *taken):
            end.close()
        door.close()

    asyncio.run(asyncio.wait_for(test(), 20))
