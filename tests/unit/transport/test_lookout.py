"""A loop, and a thread, that look for what is due before they sleep."""

from __future__ import annotations

import asyncio
import socket

from eais.transport.lookout import Lookout
from eais.transport.spin import Spin
from eais_client.socket_wait import SocketWait

MS = 1_000_000


class Learning(Spin):
    """A `Spin` that says always the same, and remembers what it was told."""

    def __init__(self, budget_ns: int) -> None:
        super().__init__(allowed=True)
        self._budget_ns = budget_ns
        self.waits: list[int] = []

    def budget_ns(self) -> int:
        return self._budget_ns

    def came(self, waited_ns: int) -> None:
        self.waits.append(waited_ns)


def test_looking_is_learnt_from() -> None:
    async def act() -> None:
        spin = Learning(50 * MS)
        lookout = Lookout(asyncio.get_running_loop(), lambda: True, spin)
        lookout.heard()
        assert spin.waits == [], "nothing was said that it could be an answer to"
        lookout.said()
        await asyncio.sleep(0)
        lookout.heard()
        lookout.heard()
        [waited] = spin.waits
        assert waited > 0

    asyncio.run(act())


def test_a_loop_looks_no_longer_than_is_worth_while() -> None:
    async def act() -> None:
        loop = asyncio.get_running_loop()
        lookout = Lookout(loop, lambda: True, Learning(2 * MS))
        lookout.said()
        seen = [lookout.looking]
        while seen[-1] and len(seen) < 1_000_000:
            await asyncio.sleep(0)
            seen.append(lookout.looking)
        assert seen[0]
        assert not seen[-1]

    asyncio.run(act())


def test_nothing_is_looked_for_while_something_runs() -> None:
    async def act() -> None:
        spin = Learning(50 * MS)
        lookout = Lookout(asyncio.get_running_loop(), lambda: False, spin)
        lookout.said()
        assert not lookout.looking
        lookout.heard()
        assert spin.waits == [], "how long that took says nothing"

    asyncio.run(act())


def test_a_thread_looks_before_it_sleeps() -> None:
    near, far = socket.socketpair()
    with near, far:
        spin = Learning(5 * MS)
        wait = SocketWait(near.fileno(), spin)
        far.send(b"x")
        wait.wait(1.0)
        wait.wait(1.0, write=True)
        assert len(spin.waits) == 1, "room to write isn't waited for like that"
        near.recv(1)
        wait.kick()
        wait.wait(10.0)
        wait.wait(0.01)
        assert len(spin.waits) == 3
        assert spin.waits[2] > 5 * MS, "it looked for its time, and slept"
        wait.close()
