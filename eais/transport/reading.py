"""Reads the messages of a data stream. (Brain)

One reader per stream and direction: it keeps what repeats. What a message is made of is found
by hand, as far as it is written as our own and protobuf's serializers do; from where it isn't,
the generated classes read the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from google.protobuf.message import DecodeError

from eais.errors import UsageError
from eais.rpc.v1 import worker_pb2
from eais.transport.answer_reading import AnswerReader
from eais.transport.messages import piece_part, run_part, to_client_parts, to_worker_parts
from eais.transport.parts import (
    AnswerPart,
    Buffer,
    PiecePart,
    RunPart,
    ToClientParts,
    ToWorkerParts,
)
from eais.transport.run_reading import RunReader
from eais.transport.wire_format import SMALL_BYTES, Unusual, readable, span, varint

_MOST_PLACES: Final = 1 << 14
"""Parts of a message that are found by hand before the first of them is given out."""

# Half the time of calling the class.
_new: Final[Callable[..., Any]] = tuple.__new__

_REPEATED: Final = b"\x12\x1a\x22\x2a\x32"
"""Tags of runs, pieces, cancels, hold, release."""

#: Begin and end of a part.
_Place = tuple[int, int]


class ToWorkerReader:
    """Reads what clients send."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs = RunReader()

    def read(self, data: Buffer) -> ToWorkerParts:
        """A whole message; `UsageError` MALFORMED_MESSAGE if it isn't a ToWorker.

        Large tensors are views of `data`, which has to stay as it is.
        """
        if type(data) is not bytes or len(data) > SMALL_BYTES:
            data = readable(data)
        runs: list[RunPart] = []
        read_run = self._runs.read
        at, end = 0, len(data)
        try:
            while at < end and data[at] == 0x12:
                size = data[at + 1]
                begin = at + 2
                if size > 127:
                    size, begin = varint(data, at + 1)
                stop = begin + size
                if stop > end:
                    raise Unusual
                runs.append(read_run(data, begin, stop))
                at = stop
            if at == end:
                only_runs: ToWorkerParts = _new(
                    ToWorkerParts, (None, runs, (), (), (), (), False, False)
                )
                return only_runs
        except (Unusual, IndexError):
            return _rest(data, at, runs, (), ())
        except DecodeError:
            raise malformed("ToWorker") from None
        return _read_others(data, at, runs)

    def portions(self, data: Buffer, most: int) -> Iterator[ToWorkerParts]:
        """`read` in steps, of at most `most` runs, pieces, … each, in the order of their fields.

        For messages so large that reading them at once would keep everybody waiting: what
        isn't reached yet isn't read, nor refused.
        """
        data = readable(data)
        try:
            places = _places(data)
        except (Unusual, IndexError):
            yield from _portions_of(_generated(data, 0), most)
            return
        readers: tuple[Callable[[Buffer, int, int], Any], ...] = (
            self._runs.read,
            _read_piece,
            _read_cancel,
            _read_text,
            _read_text,
        )
        for index, (read, found) in enumerate(zip(readers, places, strict=True)):
            for some in _chunks(iter(found), most):
                try:
                    yield _portion(index, [read(data, begin, end) for begin, end in some])
                except (DecodeError, UnicodeDecodeError):
                    raise malformed("ToWorker") from None


class ToClientReader:
    """Reads what workers send."""

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        self._answers = AnswerReader()

    def read(self, data: Buffer) -> ToClientParts:
        """A whole message; `UsageError` MALFORMED_MESSAGE if it isn't a ToClient.

        Large tensors are views of `data`, which has to stay as it is.
        """
        if type(data) is not bytes or len(data) > SMALL_BYTES:
            data = readable(data)
        answers: list[AnswerPart] = []
        read_answer = self._answers.read
        pieces: list[PiecePart] = []
        at, end = 0, len(data)
        try:
            while at < end:
                tag = data[at]
                size = data[at + 1]
                begin = at + 2
                if size > 127:
                    size, begin = varint(data, at + 1)
                stop = begin + size
                if stop > end:
                    raise Unusual
                if tag == 0x12:
                    answers.append(read_answer(data, begin, stop))
                elif tag == 0x1A:
                    pieces.append(_read_piece(data, begin, stop))
                else:
                    raise Unusual
                at = stop
            whole: ToClientParts = _new(ToClientParts, (None, answers, pieces, False, None, False))
            return whole
        except (Unusual, IndexError):
            try:
                message = worker_pb2.ToClient.FromString(bytes(data[at:]))
            except DecodeError:
                raise malformed("ToClient") from None
        except DecodeError:
            raise malformed("ToClient") from None
        rest = to_client_parts(message)
        return rest._replace(answers=[*answers, *rest.answers], pieces=[*pieces, *rest.pieces])


def malformed(kind: str) -> UsageError:
    """The error of bytes that are no message of the kind."""
    return UsageError("MALFORMED_MESSAGE", f"what came is not a {kind} message")


def _read_others(data: Buffer, at: int, runs: list[RunPart]) -> ToWorkerParts:
    """What follows the runs of a message."""
    pieces: list[PiecePart] = []
    cancels: list[int] = []
    end = len(data)
    try:
        while at < end:
            begin, stop = span(data, at + 1, end)
            if data[at] == 0x1A:
                pieces.append(_read_piece(data, begin, stop))
            elif data[at] == 0x22:
                cancels.append(_read_cancel(data, begin, stop))
            else:
                raise Unusual
            at = stop
    except (Unusual, IndexError):
        return _rest(data, at, runs, pieces, cancels)
    except DecodeError:
        raise malformed("ToWorker") from None
    return ToWorkerParts(None, runs, pieces, cancels)


def _rest(
    data: Buffer,
    at: int,
    runs: Sequence[RunPart],
    pieces: Sequence[PiecePart],
    cancels: Sequence[int],
) -> ToWorkerParts:
    """What was read by hand, and the rest of it by the generated classes."""
    rest = to_worker_parts(_generated(data, at))
    return rest._replace(
        runs=[*runs, *rest.runs],
        pieces=[*pieces, *rest.pieces],
        cancels=[*cancels, *rest.cancels],
    )


def _generated(data: Buffer, at: int) -> worker_pb2.ToWorker:
    # What follows a field is a message of its own: fields are added to those before it.
    try:
        return worker_pb2.ToWorker.FromString(bytes(data[at:]))
    except DecodeError:
        raise malformed("ToWorker") from None


def _places(data: Buffer) -> list[list[_Place]]:
    """Where runs, pieces, cancels, hold and release are; `Unusual` if there is anything else."""
    places: list[list[_Place]] = [[] for _ in _REPEATED]
    at, end = 0, len(data)
    for _ in range(_MOST_PLACES):
        if at == end:
            return places
        place = span(data, at + 1, end)
        which = _REPEATED.find(data[at])
        if which < 0:
            break
        places[which].append(place)
        at = place[1]
    raise Unusual


def _portions_of(message: worker_pb2.ToWorker, most: int) -> Iterator[ToWorkerParts]:
    yield ToWorkerParts(
        hello=message.hello if message.HasField("hello") else None,
        ring_wanted=message.ring_wanted,
        ring_begins=message.ring_begins,
    )
    items: tuple[Iterator[Any], ...] = (
        map(run_part, message.runs),
        map(piece_part, message.pieces),
        (cancel.call_id for cancel in message.cancels),
        iter(message.hold),
        iter(message.release),
    )
    for index, found in enumerate(items):
        for some in _chunks(found, most):
            yield _portion(index, some)


def _chunks(items: Iterator[Any], most: int) -> Iterator[list[Any]]:
    while some := list(islice(items, most)):
        yield some


def _portion(index: int, items: list[Any]) -> ToWorkerParts:
    runs, pieces, cancels, hold, release = (
        items if index == each else () for each in range(len(_REPEATED))
    )
    return ToWorkerParts(None, runs, pieces, cancels, hold, release)


def _read_piece(data: Buffer, begin: int, end: int) -> PiecePart:
    call_id = tensor = offset = 0
    raw: Buffer = b""
    at = begin
    try:
        if at < end and data[at] == 0x08:
            call_id, at = varint(data, at + 1)
        if at < end and data[at] == 0x10:
            tensor, at = varint(data, at + 1)
        if at < end and data[at] == 0x18:
            offset, at = varint(data, at + 1)
        if at < end and data[at] == 0x22:
            first, at = span(data, at + 1, end)
            raw = data[first:at]
        if at != end or tensor >> 32:
            raise Unusual
    except (Unusual, IndexError):
        return piece_part(worker_pb2.Piece.FromString(bytes(data[begin:end])))
    return PiecePart(call_id, tensor, offset, raw)


def _read_cancel(data: Buffer, begin: int, end: int) -> int:
    call_id, at = 0, begin
    try:
        if at < end and data[at] == 0x08:
            call_id, at = varint(data, at + 1)
        if at != end:
            raise Unusual
    except (Unusual, IndexError):
        return worker_pb2.Cancel.FromString(bytes(data[begin:end])).call_id
    return call_id


def _read_text(data: Buffer, begin: int, end: int) -> str:
    return str(data[begin:end], "utf-8")
