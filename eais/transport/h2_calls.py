"""One call as our own engine serves it: a raw stream by callbacks, other verbs by a task."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final, Protocol

from eais.errors import EaisError, IdentityError, UsageError
from eais.identity import Peer
from eais.rpc.caller import Caller, Stranger
from eais.rpc.guard import Guard, RawCall
from eais.rpc.verbs import Shape
from eais.transport.h2.engine import Engine
from eais.transport.parts import Buffer

# A request that isn't part of a raw stream; such are questions, not tensors.
REQUEST_BYTES: Final = 1 << 20
REQUEST_S: Final = 5.0


class Contact:
    """A call as a connection of ours knows it."""

    def __init__(self, peer: Peer, timeout_s: float | None) -> None:
        self._peer = peer
        self._timeout_s = timeout_s

    def caller(self, pool: str) -> Caller:
        """Who calls: the connection's peer, whose pool was looked at with its leaf."""
        return Caller(self._peer.identity, self._timeout_s, self._peer.leaf_end)

    def stranger(self) -> Stranger:
        """Nobody is one here: all have shown a leaf."""
        raise IdentityError("PERMISSION_DENIED", "the enrolment plane isn't served here")


class Line(Protocol):
    """What a call may ask of the connection that it is on."""

    engine: Engine

    def ask_again(self, call: Call) -> None:
        """`Call.go_on` is to be called soon."""

    def finished(self, call: Call, error: EaisError | None) -> None:
        """Nothing more is sent for the call; how it ended."""


class Call(Protocol):
    """One call, as its connection sees it."""

    stream: int

    def message(self, data: Buffer) -> None:
        """The client sent a whole message."""

    def half_closed(self) -> None:
        """The client sends no more."""

    def go_on(self) -> bool:
        """Hand over what there is while there is room; whether all is done for now."""
        ...

    def left(self) -> None:
        """The call is over, and not by us."""


class RawStream:
    """A call of a raw stream, and the link of who serves it.

    Raises the EaisError that refuses it when it is made.
    """

    def __init__(self, line: Line, stream: int, guard: Guard, contact: Contact) -> None:
        self.stream = stream
        self._line = line
        self._engine = line.engine
        # What came while nothing may be read: at most a window, since no more is let in.
        self._held: deque[Buffer] = deque()
        self._half_closed = False
        # Nothing more is handed over: it is over, or will be in a moment.
        self._stopped = self._over = False
        self._raw = RawCall(guard, contact, self)
        self._served = self._raw.served

    # the link

    def changed(self) -> None:
        """See `eais.rpc.raw_stream.StreamLink`."""
        if not self._over:
            self._line.ask_again(self)

    def fail(self, error: EaisError) -> None:
        """See `eais.rpc.raw_stream.StreamLink`."""
        # Not by way of `go_on`: nobody is asked while the socket takes nothing.
        if not self._stopped:
            self._stopped = True
            asyncio.get_running_loop().call_soon(self._end, error)

    # the connection's side

    def message(self, data: Buffer) -> None:
        """Hand it on, or keep it until reading may go on."""
        if self._held or not self._served.may_read:
            self._hold(data)
            return
        try:
            self._served.receive(data)
        except Exception as cause:  # noqa: BLE001 - judged by the guard
            self._end(cause)

    def _hold(self, data: Buffer) -> None:
        self._held.append(data)
        self._engine.pause(self.stream)

    def half_closed(self) -> None:
        """Tell it, after what is held."""
        self._half_closed = True
        try:
            self._end_of_held()
        except Exception as cause:  # noqa: BLE001 - judged by the guard
            self._end(cause)

    def _end_of_held(self) -> None:
        if self._half_closed and not self._held and not self._over:
            self._half_closed = False
            self._served.half_closed()

    def _release(self) -> None:
        """Read what is held, as long as it may be."""
        while self._held and self._served.may_read and not self._over:
            self._served.receive(self._held.popleft())
        if not self._held:
            self._engine.resume(self.stream)
            self._end_of_held()

    def go_on(self) -> bool:
        """Ask for messages until there are none, or no room."""
        engine, stream, served = self._engine, self.stream, self._served
        try:
            if self._held:
                self._release()
            while not self._stopped and engine.ready(stream):
                message = served.next_message()
                if message is None:
                    if served.over and not self._stopped:
                        self._end(None)
                    return True
                engine.send(stream, message)
        except Exception as cause:  # noqa: BLE001 - judged by the guard
            self._end(cause)
        return self._over

    def _end(self, cause: BaseException | None) -> None:
        if not self._over:
            self._stopped = self._over = True
            self._held.clear()
            self._line.finished(self, self._raw.end(cause))

    def left(self) -> None:
        """It is closed as one whose client left."""
        self._stopped = self._over = True
        self._held.clear()
        self._raw.end(asyncio.CancelledError())


class TaskCall:
    """A call of one request, with one reply or many, served by a task.

    It holds a place before its request has come, which has `request_s` for that.
    """

    def __init__(
        self,
        line: Line,
        stream: int,
        guard: Guard,
        contact: Contact,
        request_s: float = REQUEST_S,
    ) -> None:
        self.stream = stream
        self._line = line
        self._guard = guard
        self._contact = contact
        self._request_s = request_s
        loop = asyncio.get_running_loop()
        self._came: asyncio.Future[bytes | UsageError] = loop.create_future()
        self._room = asyncio.Event()
        serve = self._unary if guard.verb.shape is Shape.UNARY else self._watch
        self._task = loop.create_task(self._finishing(serve))

    def message(self, data: Buffer) -> None:
        """Begin with the request."""
        if self._came.done():
            self._refuse("one request was expected, and another came")
        elif len(data) > REQUEST_BYTES:
            text = f"a request of {len(data)} bytes; at most {REQUEST_BYTES}"
            self._came.set_result(_malformed(text))
        else:
            self._came.set_result(bytes(data))

    def half_closed(self) -> None:
        """Without a request there is nothing to answer."""
        if not self._came.done():
            self._came.set_result(_malformed("the request is missing"))

    def _refuse(self, text: str) -> None:
        self._task.cancel()
        self._line.finished(self, self._guard.judge(_malformed(text)))

    async def _request(self) -> bytes:
        try:
            async with asyncio.timeout(self._request_s):
                came = await self._came
        except TimeoutError:
            text = f"no whole request came within {self._request_s:g} s"
            raise UsageError("FIRST_MESSAGE_TIMEOUT", text) from None
        if isinstance(came, UsageError):
            raise came
        return came

    async def _finishing(self, serve: Callable[[], Awaitable[None]]) -> None:
        try:
            await serve()
        except EaisError as error:
            # The guard has judged it.
            self._line.finished(self, error)
        except Exception as cause:  # noqa: BLE001 - of the transport's own; judged here
            self._line.finished(self, self._guard.judge(cause))
        else:
            self._line.finished(self, None)

    async def _unary(self) -> None:
        reply = await self._guard.unary(self._request, self._contact)
        self._line.engine.send(self.stream, [reply.SerializeToString()])

    async def _watch(self) -> None:
        async with aclosing(self._guard.watch(self._request, self._contact)) as replies:
            async for reply in replies:
                self._line.engine.send(self.stream, [reply.SerializeToString()])
                self._line.ask_again(self)
                await self._room_again()

    async def _room_again(self) -> None:
        while not self._line.engine.ready(self.stream):
            self._room.clear()
            await self._room.wait()

    def go_on(self) -> bool:
        """Wake the task if there is room for its next reply."""
        if not self._line.engine.ready(self.stream):
            return False
        self._room.set()
        return True

    def left(self) -> None:
        """Cancel the task."""
        self._task.cancel()


def _malformed(text: str) -> UsageError:
    return UsageError("MALFORMED_MESSAGE", text)


CallMaker = Callable[[Line, int, Guard, Contact], Call]


def maker_of(guard: Guard) -> CallMaker:
    """What makes calls of a verb; TypeError for those that this transport doesn't serve."""
    if guard.raw:
        return RawStream
    if guard.verb.shape in (Shape.UNARY, Shape.WATCH):
        return TaskCall
    raise TypeError(f"{guard.verb.path} is {guard.verb.shape.value}: bind it as a raw stream")
