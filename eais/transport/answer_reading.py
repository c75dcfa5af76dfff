"""Reads Answers. (Brain)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from eais.rpc.v1 import common_pb2, worker_pb2
from eais.transport.layouts import Layouts, TensorAt, tensors_at
from eais.transport.messages import answer_part
from eais.transport.parts import AnswerPart, Buffer, TensorPart, ValuePart
from eais.transport.value_reading import read_value
from eais.transport.wire_format import Unusual, kept, span, varint

_MOST_BY_HAND: Final = 1024
"""Outputs; more of them are faster by the generated classes."""
_NO_ACCOUNT: Final = (0, 0, 0, 0, 0)
_MOST_KNOWN: Final = 256
"""Sizes of accounts that a reader keeps; with more than that, all are forgotten."""

# Half the time of calling the class.
_new: Final[Callable[..., Any]] = tuple.__new__

#: The outputs, and where what follows them begins.
_Learnt = tuple[tuple[TensorAt, ...], int]
#: queue_ns, compute_ns, batch_size, input_bytes, output_bytes; the last three repeat.
_Account = tuple[int, int, int, int, int]
_Sizes = dict[bytes, tuple[int, int, int]]


class AnswerReader:
    """Reads the Answers of one stream."""

    __slots__ = ("_known", "_layouts", "_sizes")

    def __init__(self) -> None:
        self._layouts: Layouts[_Learnt] = Layouts()
        self._known = self._layouts.by_length
        self._sizes: _Sizes = {}

    def read(self, data: Buffer, begin: int, end: int) -> AnswerPart:
        """The Answer between `begin` and `end`; protobuf's DecodeError if that isn't one."""
        try:
            call_id, at = 0, begin
            if begin < end and data[begin] == 0x08:
                call_id, at = varint(data, begin + 1)
            for take, meanings, _ in self._known.get(end - at, ()):
                learnt = meanings.get(take(data, at))
                if learnt is not None:
                    return _again(learnt, data, call_id, at, end, end - begin, self._sizes)
            return self._understand(data, call_id, at, end, end - begin)
        except (Unusual, IndexError):
            message = worker_pb2.Answer.FromString(bytes(data[begin:end]))
            return answer_part(message)._replace(size=end - begin)

    def _understand(self, data: Buffer, call_id: int, at: int, end: int, size: int) -> AnswerPart:
        first = at
        error = None
        if at < end and data[at] == 0x12:
            begin, at = span(data, at + 1, end)
            error = common_pb2.Error.FromString(bytes(data[begin:at]))
        outputs, stops, tail = _read_outputs(data, at, end)
        account = _read_account(data, tail, end, self._sizes)
        tensors = tensors_at(outputs, stops, first)
        if tensors and error is None:
            learnt = tuple(tensors), tail - first
            self._layouts.learn(data, first, end, tensors, tail - first, learnt)
        return AnswerPart(call_id, error, outputs, *account, size)


def _again(
    learnt: _Learnt, data: Buffer, call_id: int, at: int, end: int, size: int, sizes: _Sizes
) -> AnswerPart:
    tensors, tail = learnt
    outputs = []
    small = type(data) is bytes
    for kind, dims, deferred, first, last in tensors:
        raw = data[at + first : at + last] if small else kept(data, at + first, at + last)
        outputs.append(_new(TensorPart, (kind, dims, raw, deferred, ())))
    queue_ns, compute_ns, batch_size, input_bytes, output_bytes = _read_account(
        data, at + tail, end, sizes
    )
    answer: AnswerPart = _new(
        AnswerPart,
        (
            call_id,
            None,
            outputs,
            queue_ns,
            compute_ns,
            batch_size,
            input_bytes,
            output_bytes,
            size,
        ),
    )
    return answer


def _read_outputs(data: Buffer, at: int, end: int) -> tuple[list[ValuePart], list[int], int]:
    """The outputs, where each of them ends, and where the rest begins."""
    outputs: list[ValuePart] = []
    stops: list[int] = []
    while at < end and data[at] == 0x1A:
        begin, at = span(data, at + 1, end)
        outputs.append(read_value(data, begin, at))
        stops.append(at)
        if len(stops) > _MOST_BY_HAND:
            raise Unusual
    return outputs, stops, at


def _read_account(data: Buffer, at: int, end: int, sizes: _Sizes) -> _Account:
    if at == end:
        return _NO_ACCOUNT
    if data[at] != 0x22 or at + 2 + data[at + 1] != end:
        raise Unusual
    at += 2
    queue_ns = compute_ns = 0
    if at < end and data[at] == 0x08:
        queue_ns, at = varint(data, at + 1)
    if at < end and data[at] == 0x10:
        compute_ns, at = varint(data, at + 1)
    written = bytes(data[at:end])
    known = sizes.get(written)
    if known is None:
        if len(sizes) >= _MOST_KNOWN:
            sizes.clear()
        known = sizes[written] = _read_sizes(written)
    batch_size, input_bytes, output_bytes = known
    return queue_ns, compute_ns, batch_size, input_bytes, output_bytes


def _read_sizes(data: bytes) -> tuple[int, int, int]:
    at, end = 0, len(data)
    batch_size = input_bytes = output_bytes = 0
    if at < end and data[at] == 0x18:
        batch_size, at = varint(data, at + 1)
        if batch_size >> 32:
            raise Unusual
    if at < end and data[at] == 0x20:
        input_bytes, at = varint(data, at + 1)
    if at < end and data[at] == 0x28:
        output_bytes, at = varint(data, at + 1)
    if at != end:
        raise Unusual
    return batch_size, input_bytes, output_bytes
