"""One call between an asyncio task that awaits it and whatever brings its answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from threading import get_ident

from eais.deadline import Deadline
from eais.errors import EaisError
from eais.transport.writing import RunBody
from eais_client.pending import PendingCall
from eais_client.wire import DataStream


class LoopCall(PendingCall):
    """A `PendingCall` whose `future` is done when it is; made in the loop of its task.

    The loop reads for it, and the attachment's alarm sees to its deadline: neither a timer nor a
    thread is its own.
    """

    watched = False

    __slots__ = ("_loop", "_thread", "future")

    def __init__(
        self,
        body: RunBody,
        deadline: Deadline,
        loop: asyncio.AbstractEventLoop,
        patience_s: float = inf,
    ) -> None:
        super().__init__(body, deadline, patience_s)
        self.future: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._thread = get_ident()

    def sent(self, worker: int, stream: DataStream) -> None:
        """See `PendingCall`."""
        self.attempts += 1
        self.worker = worker
        self.stream = stream
        if get_ident() == self._thread:
            stream.read_in(self._loop)
            return
        with suppress(RuntimeError):  # the loop was closed: nobody awaits it any more
            self._loop.call_soon_threadsafe(stream.read_in, self._loop)

    def finish(self, error: EaisError | None = None) -> None:
        """See `PendingCall`."""
        self.error = error
        self.done = True
        try:
            if get_ident() == self._thread:
                self._resolve()
            else:
                self._loop.call_soon_threadsafe(self._resolve)
        except RuntimeError:
            pass  # as above

    def _resolve(self) -> None:
        if not self.future.done():  # its task may have been cancelled
            self.future.set_result(None)
