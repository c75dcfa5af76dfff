"""A loop, and a thread, that look for what is due before they sleep."""

from __future__ import annotations

import asyncio
import socket
import time

from eais.transport.lookout import Lookout
from eais.transport.spin import Spin
from eais_client.socket_wait import SocketWait

MS = 1_000_000


class Told(Spin):
    """A `Spin` that looks always as long, and remembers what it was told."""

    def __init__(self, budget_ns: int) -> None:
        super().__init__(True, time.monotonic_ns, time.thread_time_ns)
        self._always_ns = budget_ns
        self.told: list[str] = []

    def look_until(self) -> int:
        return time.monotonic_ns() + self._always_ns

    def came(self) -> None:
        self.told.append("came")

    def gave_up(self) -> None:
        self.told.append("gave up")


def test_looking_is_learnt_from() -> None:
    async def act() -> None:
        spin = Told(50 * MS)
        lookout = Lookout(asyncio.get_running_loop(), lambda: True, spin)
        lookout.said()
        await asyncio.sleep(0)
        assert lookout.looking
        assert spin.told == []
        lookout.heard()
        assert spin.told == ["came"]

    asyncio.run(act())


def test_a_loop_looks_no_longer_than_is_worth_while() -> None:
    async def act() -> None:
        loop, spin = asyncio.get_running_loop(), Told(2 * MS)
        lookout = Lookout(loop, lambda: True, spin)
        lookout.said()
        seen = [lookout.looking]
        while seen[-1] and len(seen) < 1_000_000:
            await asyncio.sleep(0)
            seen.append(lookout.looking)
        assert seen[0]
        assert not seen[-1]
        assert spin.told == ["gave up"]

    asyncio.run(act())


def test_nothing_is_looked_for_while_something_runs() -> None:
    async def act() -> None:
        lookout = Lookout(asyncio.get_running_loop(), lambda: False, Told(50 * MS))
        lookout.said()
        assert not lookout.looking

    asyncio.run(act())


def test_a_thread_looks_before_it_sleeps() -> None:
    near, far = socket.socketpair()
    with near, far:
        spin = Told(5 * MS)
        wait = SocketWait(near.fileno(), spin)
        far.send(b"x")
        wait.wait(1.0)
        assert spin.told == ["came"]
        wait.wait(1.0, write=True)
        assert spin.told == ["came"], "room to write isn't waited for like that"
        near.recv(1)
        wait.wait(0.01)
        assert spin.told == ["came", "gave up", "came"]
        wait.close()
