"""How a line to the manager begins, and that it may be given up at any moment of that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from eais.errors import EaisError, Unavailable
from eais.rpc.v1 import hosts_pb2
from eais_server.listener.line import first_command

# More turns of the loop than pass between a reply and its reader.
TURNS = 8


class Replies:
    """What a manager sends: nothing, until it is said how that ends."""

    def __init__(self) -> None:
        self.next = asyncio.get_running_loop().create_future()

    def __aiter__(self) -> AsyncIterator[hosts_pb2.HostCommand]:
        return self

    async def __anext__(self) -> hosts_pb2.HostCommand:
        first: hosts_pb2.HostCommand = await self.next
        return first


async def cancelled_after(turns: int) -> bool:
    """Whether it ends as cancelled, if it is so many turns after the line broke; else it broke."""
    replies = Replies()
    greeting = asyncio.create_task(first_command(replies))
    for _ in range(TURNS):
        await asyncio.sleep(0)
    replies.next.set_exception(Unavailable("POOL_UNREACHABLE", "no answer"))
    for _ in range(turns):
        await asyncio.sleep(0)
    asked = greeting.cancel()
    (ended,) = await asyncio.gather(greeting, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError if asked else EaisError)
    return asked


def test_whoever_gives_it_up_while_it_breaks_is_heard() -> None:
    heard = [asyncio.run(cancelled_after(turns)) for turns in range(TURNS)]
    assert heard[0]
    assert not heard[-1]


def test_what_ends_without_a_word_is_no_manager() -> None:
    async def dial() -> None:
        replies = Replies()
        replies.next.set_exception(StopAsyncIteration())
        await first_command(replies)

    with pytest.raises(Unavailable, match="doesn't answer Hello"):
        asyncio.run(dial())
