"""Reads Runs. (Brain)"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from eais.rpc.v1 import worker_pb2
from eais.transport.layouts import Layouts, TensorAt, tensors_at
from eais.transport.messages import run_part
from eais.transport.parts import Buffer, RunPart, TensorPart, ValuePart
from eais.transport.value_reading import read_value
from eais.transport.wire_format import Unusual, kept, span, text, varint

#: config_entries, tag, traceparent, tracestate.
_Tail = tuple[Mapping[str, str], str, str, str]

_MOST_BY_HAND: Final = 1024
"""Inputs and outputs; more of them are faster by the generated classes."""
_MOST_OPTIONS: Final = 64
_MOST_OPTION_BYTES: Final = 4096
_PLAIN: Final[_Tail] = ({}, "", "", "")

# Half the time of calling the class.
_new: Final[Callable[..., Any]] = tuple.__new__


class _Learnt(NamedTuple):
    """What the bytes beside the tensors mean; `tail` as `Layouts.learn` has it."""

    instance: str
    epoch: int
    session: str
    inputs: tuple[tuple[str, TensorAt], ...]
    outputs: tuple[str, ...]
    tail: int


class _Body(NamedTuple):
    """A Run without its call id, as it was understood byte by byte.

    Attributes:
        tail: where what isn't understood yet begins.
        stops: where each input ends.
    """

    instance: str
    epoch: int
    session: str
    inputs: list[tuple[str, ValuePart]]
    outputs: tuple[str, ...]
    tail: int
    stops: list[int]


class RunReader:
    """Reads the Runs of one stream."""

    __slots__ = ("_known", "_layouts", "_options")

    def __init__(self) -> None:
        self._layouts: Layouts[_Learnt] = Layouts()
        self._known = self._layouts.by_length
        self._options: dict[bytes, tuple[Mapping[str, str], str]] = {}

    def read(self, data: Buffer, begin: int, end: int) -> RunPart:
        """The Run between `begin` and `end`; protobuf's DecodeError if that isn't one."""
        try:
            call_id, at = 0, begin
            if begin < end and data[begin] == 0x08:
                call_id, at = varint(data, begin + 1)
            for take, meanings, _ in self._known.get(end - at, ()):
                learnt = meanings.get(take(data, at))
                if learnt is not None:
                    return self._again(learnt, data, call_id, at, end, end - begin)
            return self._understand(data, call_id, at, end, end - begin)
        except (Unusual, IndexError, UnicodeDecodeError):
            message = worker_pb2.Run.FromString(bytes(data[begin:end]))
            return run_part(message)._replace(size=end - begin)

    def _again(
        self, learnt: _Learnt, data: Buffer, call_id: int, at: int, end: int, size: int
    ) -> RunPart:
        instance, epoch, session, slots, outputs, tail_at = learnt
        inputs = []
        small = type(data) is bytes
        for name, (kind, dims, deferred, first, last) in slots:
            raw = data[at + first : at + last] if small else kept(data, at + first, at + last)
            inputs.append((name, _new(TensorPart, (kind, dims, raw, deferred, ()))))
        timeout_us, at = 0, at + tail_at
        entries, tag, traceparent, tracestate = _PLAIN
        if at < end:
            if data[at] == 0x38:
                timeout_us, at = varint(data, at + 1)
            if at != end:
                entries, tag, traceparent, tracestate = self._read_tail(data, at, end)
        run: RunPart = _new(
            RunPart,
            (
                call_id,
                instance,
                epoch,
                session,
                inputs,
                outputs,
                timeout_us,
                entries,
                tag,
                traceparent,
                tracestate,
                size,
            ),
        )
        return run

    def _understand(self, data: Buffer, call_id: int, at: int, end: int, size: int) -> RunPart:
        body = _read_body(data, at, end)
        instance, epoch, session, inputs, outputs, tail_at, stops = body
        timeout_us, at_options = 0, tail_at
        if tail_at < end and data[tail_at] == 0x38:
            timeout_us, at_options = varint(data, tail_at + 1)
        tail = self._read_tail(data, at_options, end)
        tensors = tensors_at([part for _, part in inputs], stops, at)
        if tensors is not None:
            named = tuple((name, tensor) for (name, _), tensor in zip(inputs, tensors, strict=True))
            learnt = _Learnt(instance, epoch, session, named, outputs, tail_at - at)
            self._layouts.learn(data, at, end, tensors, tail_at - at, learnt)
        return RunPart(call_id, instance, epoch, session, inputs, outputs, timeout_us, *tail, size)

    def _read_tail(self, data: Buffer, at: int, end: int) -> _Tail:
        """What follows the time left."""
        entries, tag, traceparent, tracestate = _PLAIN
        if at < end and data[at] == 0x42:
            begin, at = span(data, at + 1, end)
            entries, tag = self._read_options(bytes(data[begin:at]))
        if at < end and data[at] == 0x4A:
            traceparent, at = text(data, at + 1, end)
        if at < end and data[at] == 0x52:
            tracestate, at = text(data, at + 1, end)
        if at != end:
            raise Unusual
        return entries, tag, traceparent, tracestate

    def _read_options(self, data: bytes) -> tuple[Mapping[str, str], str]:
        known = self._options.get(data)
        if known is None:
            if len(data) > _MOST_OPTION_BYTES:
                raise Unusual
            options = worker_pb2.RunOptions.FromString(data)
            if len(self._options) >= _MOST_OPTIONS:
                self._options.clear()
            known = self._options[data] = dict(options.config_entries), options.tag
        return known


def _read_body(data: Buffer, at: int, end: int) -> _Body:
    instance = session = ""
    epoch = 0
    if at < end and data[at] == 0x12:
        instance, at = text(data, at + 1, end)
    if at < end and data[at] == 0x18:
        epoch, at = varint(data, at + 1)
    if at < end and data[at] == 0x22:
        session, at = text(data, at + 1, end)
    inputs: list[tuple[str, ValuePart]] = []
    stops: list[int] = []
    while at < end and data[at] == 0x2A:
        begin, at = span(data, at + 1, end)
        inputs.append(_read_named(data, begin, at))
        stops.append(at)
        if len(stops) > _MOST_BY_HAND:
            raise Unusual
    outputs: list[str] = []
    while at < end and data[at] == 0x32:
        output, at = text(data, at + 1, end)
        outputs.append(output)
        if len(outputs) > _MOST_BY_HAND:
            raise Unusual
    return _Body(instance, epoch, session, inputs, tuple(outputs), at, stops)


def _read_named(data: Buffer, at: int, end: int) -> tuple[str, ValuePart]:
    name, part = "", None
    if at < end and data[at] == 0x0A:
        name, at = text(data, at + 1, end)
    if at < end and data[at] == 0x12:
        begin, at = span(data, at + 1, end)
        part = read_value(data, begin, at)
    if at != end:
        raise Unusual
    return name, part
