"""A data stream over gRPC: one bidirectional stream, and one thread that reads it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, cast

import grpc

from eais.errors import EaisError, RemoteError, Unavailable, make_error
from eais.rpc import client, verbs
from eais.rpc.hello import check_version
from eais.rpc.status import DETAILS_KEY, error_of_message, error_of_rpc, no_connection
from eais.rpc.v1 import worker_pb2
from eais.value import Deferred
from eais_client.background import no_thread
from eais_client.dialer import SOFTWARE
from eais_client.outbox import Outbox
from eais_client.pieces import Assembly
from eais_client.wire import Incoming, StreamEvents

JOIN_S = 2.0


class GrpcDataStream:
    """A `DataStream`; takes the channel as its own and closes it at the end."""

    def __init__(self, number: int, channel: grpc.Channel, events: StreamEvents) -> None:
        self._number = number
        self._channel = channel
        self._events = events
        self._outbox = Outbox(SOFTWARE)
        # Sent and not over: of any other call nothing is kept, whatever the worker says.
        self._awaited: set[int] = set()
        self._partial: dict[int, Assembly] = {}
        self._opened = self._closed = False
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

    def send(self, run: worker_pb2.Run, deferred: Deferred) -> None:
        """See `DataStream`."""
        self._awaited.add(run.call_id)
        self._outbox.put(run, deferred)

    def cancel(self, call: int) -> None:
        """See `DataStream`."""
        self._forget(call)
        self._outbox.cancel(call)

    def hold(self, session: str) -> None:
        """See `DataStream`."""
        self._outbox.hold(session)

    def release(self, session: str) -> None:
        """See `DataStream`."""
        self._outbox.release(session)

    def close(self) -> None:
        """See `DataStream`."""
        with self._starting:
            self._closed = True
        self._outbox.close()
        if not self._reader.ident:
            self._channel.close()
            return
        if self._call is not None:
            self._call.cancel()
        if threading.current_thread() is not self._reader:
            self._reader.join(JOIN_S)
            self._close_channel()

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
            self._outbox.close()
            if not self._closed:
                self._events.broken(self._number, error)
            self._close_channel()

    def _call_worker(self) -> None:
        """Begin the call, unless gRPC finds no thread or nobody wants it any more."""
        with self._starting:
            if not self._closed:
                requests = self._outbox.messages()
                try:
                    self._call = client.stream(self._channel, verbs.WORKER_STREAM, requests)
                except RuntimeError:
                    self._threadless = True

    def _read_all(self) -> EaisError:
        """Read to the end; why it ended."""
        if self._call is None:
            return no_thread()
        try:
            for message in self._call:
                self._take(message)
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
        reason = "WORKER_DIED" if self._opened else "HOST_UNREACHABLE"
        return no_connection(error.details() or "", reason)

    def _take(self, message: worker_pb2.ToClient) -> None:
        if message.HasField("hello"):
            check_version(message.hello)
            self._opened = True
            self._events.opened(self._number)
        for answer in message.answers:
            self._take_answer(answer)
        for piece in message.pieces:
            self._take_piece(piece)
        if message.draining:
            self._events.draining(self._number)

    def _take_answer(self, answer: worker_pb2.Answer) -> None:
        if answer.call_id not in self._awaited:
            return
        if answer.HasField("error"):
            self._forget(answer.call_id)
            push_back_s = answer.error.push_back_ms / 1000
            error = error_of_message(answer.error)
            self._events.refused(self._number, answer.call_id, error, push_back_s)
            return
        try:
            assembly = self._partial[answer.call_id] = Assembly(answer)
        except (RemoteError, MemoryError) as why:
            self._leave(answer.call_id, why)
            return
        self._finish(answer.call_id, assembly)
        # `cancel` may have come between the two.
        if answer.call_id not in self._awaited:
            self._partial.pop(answer.call_id, None)

    def _take_piece(self, piece: worker_pb2.Piece) -> None:
        assembly = self._partial.get(piece.call_id)
        if assembly is None:
            return  # of a call that was cancelled
        try:
            assembly.add(piece)
        except MemoryError as error:
            self._leave(piece.call_id, error)
            return
        self._finish(piece.call_id, assembly)

    def _leave(self, call: int, why: RemoteError | MemoryError) -> None:
        """Take no more of an answer that is too large: this call ends, the others go on."""
        if isinstance(why, MemoryError):
            why = RemoteError("OUTPUT_TOO_LARGE", "the answer doesn't fit this process's memory")
        self.cancel(call)
        self._events.refused(self._number, call, why, 0.0)

    def _finish(self, call: int, assembly: Assembly) -> None:
        answer: Incoming | None = assembly.whole()
        if answer is not None:
            self._forget(call)
            self._events.answered(call, answer)

    def _forget(self, call: int) -> None:
        self._awaited.discard(call)
        self._partial.pop(call, None)


def _has_details(error: grpc.RpcError) -> bool:
    trailers = cast("Iterable[tuple[str, Any]]", error.trailing_metadata() or ())
    return any(key == DETAILS_KEY for key, _value in trailers)
