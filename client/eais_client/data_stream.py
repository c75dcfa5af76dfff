"""A data stream over grpcio: one bidirectional stream, and one thread that reads it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Iterator
from math import inf
from typing import Any, cast

import grpc

from eais.errors import EaisError, Unavailable, make_error
from eais.rpc import client, verbs
from eais.rpc.status import DETAILS_KEY, error_of_rpc, no_connection
from eais.transport.writing import EncodedRun
from eais.value import Deferred
from eais_client.background import no_thread
from eais_client.dialer import SOFTWARE
from eais_client.exchange import Exchange
from eais_client.wire import StreamEvents, Waiter

JOIN_S = 2.0


class GrpcDataStream:
    """A `DataStream`; takes the channel as its own and closes it at the end.

    gRPC's threads send, and one of ours reads, whoever waits.
    """

    def __init__(self, number: int, channel: grpc.Channel, events: StreamEvents) -> None:
        self._number = number
        self._channel = channel
        self._events = events
        self._exchange = Exchange(number, events, SOFTWARE)
        # Set when something waits to be sent, or nothing ever will again.
        self._more = threading.Event()
        self._closed = self._over = False
        self._threadless = False
        # `close` may come while it is being started.
        self._starting = threading.Lock()
        self._call: Any = None
        self._reader = threading.Thread(
            target=self._read, name=f"eais-stream-{number}", daemon=True
        )

    def start(self) -> None:
        """See `DataStream`."""
        with self._starting:
            if self._closed:
                return
            try:
                self._reader.start()
            except RuntimeError:
                self._channel.close()
                raise no_thread() from None

    def send(self, run: EncodedRun, deferred: Deferred, watched: bool = True) -> None:
        """See `DataStream`."""
        self._exchange.send(run, deferred)
        self._more.set()

    def read_for(self, waiter: Waiter, until_s: float) -> None:
        """See `DataStream`."""
        waiter.park(None if until_s == inf else until_s - time.monotonic())

    @property
    def used(self) -> str:
        """See `DataStream`."""
        return "grpcio"

    def read_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """See `DataStream`; it isn't needed."""

    def cancel(self, call: int) -> None:
        """See `DataStream`."""
        self._exchange.cancel(call)
        self._more.set()

    def hold(self, session: str) -> None:
        """See `DataStream`."""
        self._exchange.outbox.hold(session)
        self._more.set()

    def release(self, session: str) -> None:
        """See `DataStream`."""
        self._exchange.outbox.release(session)
        self._more.set()

    def close(self) -> None:
        """See `DataStream`."""
        with self._starting:
            self._closed = True
        self._end_sending()
        if not self._reader.ident:
            self._channel.close()
            return
        if self._call is not None:
            self._call.cancel()
        if threading.current_thread() is not self._reader:
            self._reader.join(JOIN_S)
            self._close_channel()

    def _end_sending(self) -> None:
        self._over = True
        self._exchange.outbox.close()
        self._more.set()

    def _messages(self) -> Iterator[bytes]:
        """What is sent; blocks while nothing waits, until the end."""
        outbox = self._exchange.outbox
        yield b"".join(outbox.first_message())
        while not self._over:
            self._more.clear()
            message = outbox.next_message()
            if message is not None:
                yield b"".join(message)
            elif not self._over:
                self._more.wait()

    def _close_channel(self) -> None:
        # Without its threads gRPC would wait for their end for ever.
        if not self._threadless:
            self._channel.close()

    def _read(self) -> None:
        error = make_error("BUG", "the reader of the data stream failed")
        try:
            self._call_worker()
            error = self._read_all()
        finally:
            self._end_sending()
            if not self._closed:
                self._events.broken(self._number, error)
            self._close_channel()

    def _call_worker(self) -> None:
        """Begin the call, unless gRPC finds no thread or nobody wants it any more."""
        with self._starting:
            if not self._closed:
                requests = self._messages()
                try:
                    self._call = client.raw_stream(self._channel, verbs.WORKER_STREAM, requests)
                except RuntimeError:
                    self._threadless = True

    def _read_all(self) -> EaisError:
        """Read to the end; why it ended."""
        if self._call is None:
            return no_thread()
        try:
            for message in self._call:
                self._exchange.receive(message)
                if self._exchange.outbox.waiting:
                    self._more.set()
        except grpc.RpcError as error:
            return self._why(error)
        except EaisError as error:
            self._call.cancel()  # the worker speaks another protocol than ours
            return error
        return Unavailable("WORKER_DIED", "the worker ended the stream")

    def _why(self, error: grpc.RpcError) -> EaisError:
        """A refusal of the worker's own words, else a connection that broke or never was."""
        if _has_details(error):
            return error_of_rpc(error, "HOST_UNREACHABLE")
        reason = "WORKER_DIED" if self._exchange.opened else "HOST_UNREACHABLE"
        return no_connection(error.details() or "", reason)


def _has_details(error: grpc.RpcError) -> bool:
    trailers = cast("Iterable[tuple[str, Any]]", error.trailing_metadata() or ())
    return any(key == DETAILS_KEY for key, _value in trailers)
