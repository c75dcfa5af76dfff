"""Writes Runs. (Brain)

What repeats is written once: a session's names for each of its sessions, what stands before a
tensor for each name, dtype and shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from eais.rpc.v1 import worker_pb2
from eais.transport.parts import Buffer
from eais.transport.value_writing import Parts, inline_head, joined, utf8, write_value
from eais.transport.wire_format import bytes_field, number, number_field
from eais.value import Array, Deferred, Value

_MOST_KNOWN: Final = 1024
"""Heads that a writer keeps; with more than that, all are forgotten."""

# Half the time of calling the class.
_new: Final[Callable[..., Any]] = tuple.__new__


class EncodedRun(NamedTuple):
    """One Run, without the field tag that it has in a ToWorker; `size` bytes in all."""

    call_id: int
    parts: Sequence[Buffer]
    size: int


class RunWriter:
    """Writes the calls of one session; from any thread.

    `before_session`: the last epoch, and what stands between call id and session in it.
    Raises `InputRejected` INPUT_REJECTED for ids that UTF-8 can't write.
    """

    __slots__ = ("_heads", "_instance", "_options", "_outputs", "_session", "before_session")

    def __init__(self, instance: str, session: str) -> None:
        self._instance = bytes_field(b"\x12", utf8(instance))
        self._session = bytes_field(b"\x22", utf8(session))
        self._heads: dict[tuple[str, np.dtype[Any], tuple[int, ...]], tuple[bytes, int]] = {}
        self._outputs: dict[tuple[str, ...], bytes] = {}
        self._options: dict[tuple[str, tuple[tuple[str, str], ...]], bytes] = {}
        # One attribute, since several threads may write.
        self.before_session = 0, self._instance

    def body(
        self,
        inputs: Iterable[tuple[str, Value]],
        outputs: Sequence[str],
        entries: Mapping[str, str],
        tag: str,
        deferred: Deferred,
    ) -> RunBody:
        """A call's inputs and options; tensors too large for a message go to `deferred`.

        Arrays of more than 16 KiB aren't copied: they must stay as they are until the call is
        answered.

        Raises:
            InputRejected: INPUT_DTYPE for a value that has no wire form, INPUT_REJECTED for a
                string that UTF-8 can't write.
        """
        parts: list[Buffer] = [self._session]
        heads = self._heads
        plain = True
        for name, value in inputs:
            if type(value) is np.ndarray:
                known = heads.get((name, value.dtype, value.shape)) or self._head(name, value)
                if known is not None:
                    head, size = known
                    if size <= deferred.inline_left and size <= deferred.inline_limit:
                        deferred.inline_left -= size
                        parts.append(head)
                        parts.append(value.tobytes())
                        continue
            plain = False
            parts += _named(utf8(name), write_value(value, deferred))
        if outputs:
            parts.append(self._outputs.get(tuple(outputs)) or self._name_outputs(outputs))
        options = self._write_options(entries, tag) if entries or tag else b""
        middle: list[Buffer] = [b"".join(parts)] if plain else joined(parts)
        return RunBody(self, middle, options, deferred)

    def _head(self, name: str, array: Array) -> tuple[bytes, int] | None:
        found = inline_head(array)
        if found is None:
            return None
        head, size = found
        named = bytes_field(b"\x0a", utf8(name)) + b"\x12" + number(len(head) + size) + head
        if len(self._heads) >= _MOST_KNOWN:
            self._heads.clear()
        known = b"\x2a" + number(len(named) + size) + named, size
        self._heads[name, array.dtype, array.shape] = known
        return known

    def _name_outputs(self, outputs: Sequence[str]) -> bytes:
        written = b""
        for name in map(utf8, outputs):
            written += b"\x32" + number(len(name)) + name
        if len(self._outputs) >= _MOST_KNOWN:
            self._outputs.clear()
        self._outputs[tuple(outputs)] = written
        return written

    def _write_options(self, entries: Mapping[str, str], tag: str) -> bytes:
        key = tag, tuple(entries.items())
        known = self._options.get(key)
        if known is None:
            if len(self._options) >= _MOST_KNOWN:
                self._options.clear()
            options = worker_pb2.RunOptions(config_entries=entries, tag=tag)
            data = options.SerializeToString(deterministic=True)
            known = self._options[key] = b"\x42" + number(len(data)) + data
        return known

    def at_epoch(self, epoch: int) -> bytes:
        """What stands between call id and session from now on."""
        before = self._instance + number_field(b"\x18", epoch)
        self.before_session = epoch, before
        return before


class RunBody:
    """What is the same at each attempt of a call.

    Attributes:
        size: bytes of it on the wire, without pieces; `run` adds fewer than 64, and the trace.
        deferred: the tensors that follow it in pieces.
    """

    __slots__ = ("_middle", "_options", "_writer", "deferred", "size")

    def __init__(
        self, writer: RunWriter, middle: list[Buffer], options: bytes, deferred: Deferred
    ) -> None:
        self._writer = writer
        self._middle = middle
        self._options = options
        self.deferred = deferred
        self.size = len(middle[0]) if len(middle) == 1 else sum(map(len, middle))
        self.size += len(options)

    def run(
        self,
        call_id: int,
        epoch: int,
        timeout_us: int,
        traceparent: str = "",
        tracestate: str = "",
    ) -> EncodedRun:
        """The Run of one attempt; ValueError for numbers that 64 bits don't hold."""
        known, before = self._writer.before_session
        if epoch != known:
            before = self._writer.at_epoch(epoch)
        if call_id:
            before = b"\x08" + number(call_id) + before
        after = self._options
        if timeout_us:
            after = b"\x38" + number(timeout_us) + after
        if traceparent:
            after += bytes_field(b"\x4a", utf8(traceparent))
        if tracestate:
            after += bytes_field(b"\x52", utf8(tracestate))
        middle = self._middle
        if len(middle) == 1:
            data = b"".join((before, middle[0], after))
            encoded: EncodedRun = _new(EncodedRun, (call_id, (data,), len(data)))
            return encoded
        parts = joined([before, *middle, after])
        return EncodedRun(call_id, parts, sum(map(len, parts)))


def _named(name: bytes, value: Parts) -> Parts:
    inner = Parts()
    inner.add(bytes_field(b"\x0a", name))
    inner.add_field(b"\x12", value)
    parts = Parts()
    parts.add_field(b"\x2a", inner)
    return parts
