"""Writes the messages of a data stream, byte for byte as the generated classes do. (Brain)

Fields stand in the order of their numbers, and what has its default value is left out. Large
arrays aren't copied: the buffers that are given out are views of the caller's memory, which
must stay as it is until they are sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from eais.rpc.v1 import common_pb2, value_pb2, worker_pb2
from eais.transport.parts import Buffer, PiecePart
from eais.value import Deferred, Value, encode_value


class EncodedRun(NamedTuple):
    """One Run, without the field tag that it has in a ToWorker; `size` bytes in all."""

    call_id: int
    parts: Sequence[Buffer]
    size: int


class EncodedAnswer(NamedTuple):
    """One Answer, without the field tag that it has in a ToClient, and what follows it.

    Attributes:
        size: bytes of it on the wire, without pieces.
        deferred: the tensors that follow it in pieces.
    """

    call_id: int
    parts: Sequence[Buffer]
    size: int
    deferred: Deferred


class RunBody:
    """What is the same at each attempt of a call.

    Attributes:
        size: bytes of it on the wire, without pieces; each `run` adds some.
        deferred: the tensors that follow it in pieces.
    """

    __slots__ = ("_message", "deferred", "size")

    def __init__(self, message: worker_pb2.Run, deferred: Deferred) -> None:
        self._message = message
        self.deferred = deferred
        self.size = message.ByteSize()

    def run(
        self,
        call_id: int,
        epoch: int,
        timeout_us: int,
        traceparent: str = "",
        tracestate: str = "",
    ) -> EncodedRun:
        """The Run of one attempt."""
        run = worker_pb2.Run(
            call_id=call_id,
            epoch=epoch,
            timeout_us=timeout_us,
            traceparent=traceparent,
            tracestate=tracestate,
        )
        run.MergeFrom(self._message)
        data = run.SerializeToString()
        return EncodedRun(call_id, (data,), len(data))


class RunWriter:
    """Writes the calls of one session."""

    def __init__(self, instance: str, session: str) -> None:
        self._instance = instance
        self._session = session

    def body(
        self,
        inputs: Iterable[tuple[str, Value]],
        outputs: Sequence[str],
        entries: Mapping[str, str],
        tag: str,
        deferred: Deferred,
    ) -> RunBody:
        """A call's inputs and options; tensors too large for a message go to `deferred`.

        Raises:
            InputRejected: INPUT_DTYPE for a value that has no wire form, INPUT_REJECTED for a
                string that UTF-8 can't write.
        """
        named = [
            value_pb2.NamedValue(name=name, value=encode_value(value, deferred))
            for name, value in inputs
        ]
        message = worker_pb2.Run(
            instance=self._instance, session=self._session, inputs=named, outputs=outputs
        )
        if entries or tag:
            message.options.tag = tag
            message.options.config_entries.update(entries)
        return RunBody(message, deferred)


class AnswerWriter:
    """Writes the answers of one worker."""

    def answer(
        self,
        call_id: int,
        outputs: Iterable[Value],
        queue_ns: int,
        compute_ns: int,
        batch_size: int,
        input_bytes: int,
        deferred: Deferred,
    ) -> EncodedAnswer:
        """An answer with outputs, whose bytes the account counts too, those in pieces included.

        Raises `InputRejected` as `RunWriter.body` does.
        """
        answer = worker_pb2.Answer(outputs=[encode_value(value, deferred) for value in outputs])
        output_bytes = answer.ByteSize() + sum(map(len, deferred.buffers))
        account = _account(queue_ns, compute_ns, batch_size, input_bytes, output_bytes)
        answer.account.CopyFrom(account)
        answer.call_id = call_id
        return _encoded(answer, deferred)


def refusal(
    call_id: int,
    error: common_pb2.Error,
    queue_ns: int = 0,
    compute_ns: int = 0,
    batch_size: int = 0,
    input_bytes: int = 0,
) -> EncodedAnswer:
    """The answer of a call that failed; with an account if it has a batch size."""
    answer = worker_pb2.Answer(call_id=call_id, error=error)
    if batch_size:
        answer.account.CopyFrom(_account(queue_ns, compute_ns, batch_size, input_bytes, 0))
    return _encoded(answer, Deferred())


def _account(
    queue_ns: int, compute_ns: int, batch_size: int, input_bytes: int, output_bytes: int
) -> worker_pb2.Account:
    return worker_pb2.Account(
        queue_ns=queue_ns,
        compute_ns=compute_ns,
        batch_size=batch_size,
        input_bytes=input_bytes,
        output_bytes=output_bytes,
    )


def _encoded(answer: worker_pb2.Answer, deferred: Deferred) -> EncodedAnswer:
    data = answer.SerializeToString()
    return EncodedAnswer(answer.call_id, (data,), len(data), deferred)


def to_worker(
    runs: Sequence[EncodedRun] = (),
    pieces: Sequence[PiecePart] = (),
    cancels: Sequence[int] = (),
    hold: Sequence[str] = (),
    release: Sequence[str] = (),
    hello: common_pb2.Hello | None = None,
    ring_wanted: bool = False,
    ring_begins: bool = False,
) -> list[Buffer]:
    """A message to a worker, in pieces that follow each other."""
    message = worker_pb2.ToWorker(
        hello=hello,
        runs=[worker_pb2.Run.FromString(b"".join(run.parts)) for run in runs],
        pieces=[_piece(piece) for piece in pieces],
        cancels=[worker_pb2.Cancel(call_id=call_id) for call_id in cancels],
        hold=hold,
        release=release,
        ring_wanted=ring_wanted,
        ring_begins=ring_begins,
    )
    return [message.SerializeToString()]


def to_client(
    answers: Sequence[EncodedAnswer] = (),
    pieces: Sequence[PiecePart] = (),
    hello: common_pb2.HelloReply | None = None,
    draining: bool = False,
    ring_offer: worker_pb2.RingOffer | None = None,
    ring_begins: bool = False,
) -> list[Buffer]:
    """A message to a client, in pieces that follow each other."""
    message = worker_pb2.ToClient(
        hello=hello,
        answers=[worker_pb2.Answer.FromString(b"".join(answer.parts)) for answer in answers],
        pieces=[_piece(piece) for piece in pieces],
        draining=draining,
        ring_offer=ring_offer,
        ring_begins=ring_begins,
    )
    return [message.SerializeToString()]


def _piece(piece: PiecePart) -> worker_pb2.Piece:
    return worker_pb2.Piece(
        call_id=piece.call_id,
        tensor=piece.tensor,
        offset=piece.offset,
        data=bytes(piece.data),
    )
