"""What is said on a data stream, whatever carries it: calls out, answers and refusals in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from eais.errors import RemoteError
from eais.rpc.hello import check_version
from eais.rpc.status import error_of_message
from eais.rpc.v1 import common_pb2
from eais.transport.parts import AnswerPart, PiecePart, ToClientParts
from eais.transport.reading import ToClientReader
from eais.transport.writing import EncodedRun
from eais.value import Deferred
from eais_client.carrier import Received
from eais_client.outbox import Outbox
from eais_client.pieces import Assembly, is_whole
from eais_client.wire import Incoming, StreamEvents

# Half the time of calling the class.
_new: Final[Callable[..., Any]] = tuple.__new__


class Exchange:
    """Both directions of one stream.

    Any thread sends; one thread at a time receives, and it is the one that tells `events`.

    Attributes:
        outbox: what is to be sent.
        opened: whether the worker has said hello.
        unwatched: calls under way that nobody reads for.
    """

    def __init__(self, number: int, events: StreamEvents, software: str) -> None:
        self.outbox = Outbox(software)
        self.opened = False
        self._number = number
        self._events = events
        self._read = ToClientReader().read
        # Sent and not over: of any other call nothing is kept, whatever the worker says.
        self._awaited: set[int] = set()
        self.unwatched: set[int] = set()
        self._partial: dict[int, Assembly] = {}

    def send(self, run: EncodedRun, deferred: Deferred, watched: bool = True) -> None:
        """Queue a call; `watched` as of `DataStream.send`."""
        self._awaited.add(run.call_id)
        if not watched:
            self.unwatched.add(run.call_id)
        self.outbox.put(run, deferred)

    def cancel(self, call: int) -> None:
        """Queue the end of a call; nothing of it is kept."""
        self._forget(call)
        self.outbox.cancel(call)

    def receive(self, message: Received) -> None:
        """Take what the worker says.

        Raises `EaisError` if it can't be understood: then the stream is to be left.
        """
        if isinstance(message, PiecePart):
            self._take_piece(message)
            return
        parts = self._read(message)
        if parts.hello is not None:
            self._greeted(parts.hello)
        for answer in parts.answers:
            call = answer.call_id
            if call not in self._awaited:
                continue
            if answer.error is not None:
                self._refused(call, answer.error)
            elif is_whole(answer):
                self._awaited.discard(call)
                if self.unwatched:
                    self.unwatched.discard(call)
                self._events.answered(call, _new(Incoming, (answer, ())))
            else:
                self._begin(answer)
        if parts.pieces or parts.draining:
            self._take_rest(parts)

    def _greeted(self, reply: common_pb2.HelloReply) -> None:
        check_version(reply)
        self.opened = True
        self._events.opened(self._number)

    def _take_rest(self, parts: ToClientParts) -> None:
        for piece in parts.pieces:
            self._take_piece(piece)
        if parts.draining:
            self._events.draining(self._number)

    def _refused(self, call: int, message: common_pb2.Error) -> None:
        self._forget(call)
        push_back_s = message.push_back_ms / 1000
        self._events.refused(self._number, call, error_of_message(message), push_back_s)

    def _begin(self, answer: AnswerPart) -> None:
        try:
            assembly = self._partial[answer.call_id] = Assembly(answer)
        except (RemoteError, MemoryError) as why:
            self._leave(answer.call_id, why)
            return
        self._finish(answer.call_id, assembly)
        # `cancel` may have come between the two.
        if answer.call_id not in self._awaited:
            self._partial.pop(answer.call_id, None)

    def _take_piece(self, piece: PiecePart) -> None:
        assembly = self._partial.get(piece.call_id)
        if assembly is None:
            return  # of a call that was cancelled
        assembly.add(piece)
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
        self.unwatched.discard(call)
        self._partial.pop(call, None)
