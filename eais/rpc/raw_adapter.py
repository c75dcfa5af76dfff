"""A raw stream on grpc.aio: its callbacks as the generator that gRPC wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from eais.errors import EaisError
from eais.rpc.caller import Contact
from eais.rpc.guard import Guard, RawCall
from eais.rpc.raw_stream import ServedStream


async def serve_raw(
    guard: Guard, requests: AsyncIterator[bytes], contact: Contact
) -> AsyncGenerator[bytes, None]:
    """All messages of one call of a raw stream; raises EaisError."""
    link = _EventLink()
    call = RawCall(guard, contact, link)
    reader = asyncio.get_running_loop().create_task(_read(requests, call.served, link))
    link.begin(call, reader)
    try:
        async with aclosing(_sent(call.served, link)) as messages:
            async for message in messages:
                yield message
    except BaseException as cause:  # noqa: BLE001 - judged, and raised again
        # A client that left isn't told what had ended the stream before.
        told = call.end(cause)
        raise (told if isinstance(cause, Exception) else None) or cause from None
    else:
        call.end(None)
    finally:
        reader.cancel()


class _EventLink:
    """Wakes the two tasks of a stream, and keeps what ends it."""

    def __init__(self) -> None:
        self._to_send = asyncio.Event()
        self._to_read = asyncio.Event()
        self._ended_by: BaseException | None = None
        # From `begin` on.
        self._call: RawCall
        self._reader: asyncio.Task[None]

    def begin(self, call: RawCall, reader: asyncio.Task[None]) -> None:
        """Whose link it is."""
        self._call, self._reader = call, reader

    def changed(self) -> None:
        self._to_send.set()
        self._to_read.set()

    def fail(self, error: EaisError) -> None:
        self.end(error)

    def end(self, cause: BaseException) -> None:
        """Raise `cause` where the stream's messages are made.

        That may be never: gRPC asks for the next one when the client has taken the last. What
        serves the stream is let go before.
        """
        if self._ended_by is None:
            self._ended_by = cause
            asyncio.get_running_loop().call_soon(self._over, cause)
        self.changed()

    def _over(self, cause: BaseException) -> None:
        self._call.over(cause)
        self._reader.cancel()

    def check(self) -> None:
        """Raise what ended the stream."""
        if self._ended_by is not None:
            raise self._ended_by

    async def to_send(self) -> None:
        """Wait for a change since the last wait."""
        await self._to_send.wait()
        self._to_send.clear()

    async def to_read(self) -> None:
        """The same, for who reads."""
        await self._to_read.wait()
        self._to_read.clear()


async def _sent(served: ServedStream, link: _EventLink) -> AsyncGenerator[bytes, None]:
    while True:
        link.check()
        message = served.next_message()
        if message is not None:
            yield b"".join(message)
        elif served.over:
            return
        else:
            await link.to_send()


async def _read(requests: AsyncIterator[bytes], served: ServedStream, link: _EventLink) -> None:
    try:
        async for message in requests:
            served.receive(message)
            link.changed()
            while not served.may_read:
                await link.to_read()
        served.half_closed()
        link.changed()
    except Exception as cause:  # noqa: BLE001 - judged where the stream's end is
        link.end(cause)
