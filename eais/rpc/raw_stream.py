"""Streams that are served by callbacks on serialised messages: the data plane's seam.

A verb that is bound by `eais.rpc.server.raw_stream` sees messages as they are on the wire, and
hands over such. A transport calls `ServedStream`, on one thread, which is its event loop's;
the served stream calls `StreamLink`, on the same thread. Each may call the other from within a
call: `StreamLink.changed` and `fail` only take note.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from eais.errors import EaisError
from eais.rpc.caller import Caller
from eais.transport.parts import Buffer as Buffer


class StreamLink(Protocol):
    """What a transport gives to who serves a stream."""

    def changed(self) -> None:
        """There is something to send, reading may go on, or it is over: ask soon.

        Nobody needs to say so within `receive`: all is asked after it.
        """
        ...

    def fail(self, error: EaisError) -> None:
        """End the stream with `error`; what wasn't handed over is not sent."""
        ...


class ServedStream(Protocol):
    """One stream, as its server sees it."""

    def receive(self, message: Buffer) -> None:
        """A whole message; it may be kept, nobody writes to its memory.

        What can't be acted on at once may wait, with `may_read` False until it was: nothing
        else runs on the event loop meanwhile.

        Raises:
            EaisError: the stream ends with it.
        """
        ...

    def next_message(self) -> list[Buffer] | None:
        """The next message, in parts to be sent one after the other; None: nothing yet.

        Asked only while the transport has room, so that what waits here for a slow client is
        bounded by who makes it. The memory must stay as it is until it was sent.

        Raises:
            EaisError: the stream ends with it.
        """
        ...

    @property
    def may_read(self) -> bool:
        """False: the transport holds the client back until `StreamLink.changed`."""
        ...

    @property
    def over(self) -> bool:
        """Nothing more will be sent: the stream ends with OK once `next_message` has none."""
        ...

    def half_closed(self) -> None:
        """The client sends no more."""
        ...

    def closed(self) -> None:
        """The stream is gone, whoever ended it. Called once, last."""
        ...


RawHandler = Callable[[Caller, StreamLink], ServedStream]
"""Makes what serves a stream; raises EaisError to refuse it."""
