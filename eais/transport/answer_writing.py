"""Writes Answers. (Brain)"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from eais.rpc.v1 import common_pb2
from eais.transport.parts import Buffer
from eais.transport.value_writing import Parts, inline_head, joined, write_value
from eais.transport.wire_format import number, number_field
from eais.value import Array, Deferred, Value

_MOST_KNOWN: Final = 1024
"""Heads that a writer keeps; with more than that, all are forgotten."""

# Half the time of calling the class.
_new: Final[Callable[..., Any]] = tuple.__new__


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


class AnswerWriter:
    """Writes the answers of one session, or of several."""

    __slots__ = ("_heads", "_sizes")

    def __init__(self) -> None:
        self._heads: dict[tuple[np.dtype[Any], tuple[int, ...]], tuple[bytes, int, int]] = {}
        self._sizes: dict[tuple[int, int, int], bytes] = {}

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

        Arrays of more than 16 KiB aren't copied: they must stay as they are until they are sent.
        Raises `InputRejected` as `RunWriter.body` does.
        """
        parts: list[Buffer] = [b"\x08" + number(call_id) if call_id else b""]
        heads = self._heads
        plain = True
        size = 0
        for value in outputs:
            if type(value) is np.ndarray:
                known = heads.get((value.dtype, value.shape)) or self._head(value)
                if known is not None:
                    head, raw, both = known
                    if raw <= deferred.inline_left and raw <= deferred.inline_limit:
                        deferred.inline_left -= raw
                        parts.append(head)
                        parts.append(value.tobytes())
                        size += both
                        continue
            plain = False
            written = Parts()
            written.add_field(b"\x1a", write_value(value, deferred))
            parts += written
            size += written.size
        for buffer in deferred.buffers:
            size += len(buffer)
        parts.append(self._account(queue_ns, compute_ns, batch_size, input_bytes, size))
        if not plain:
            parts = joined(parts)
            return EncodedAnswer(call_id, parts, sum(map(len, parts)), deferred)
        data = b"".join(parts)
        encoded: EncodedAnswer = _new(EncodedAnswer, (call_id, (data,), len(data), deferred))
        return encoded

    def _account(
        self, queue_ns: int, compute_ns: int, batch_size: int, input_bytes: int, output_bytes: int
    ) -> bytes:
        key = batch_size, input_bytes, output_bytes
        sizes = self._sizes.get(key)
        if sizes is None:
            if len(self._sizes) >= _MOST_KNOWN:
                self._sizes.clear()
            sizes = self._sizes[key] = _sizes(*key)
        return _account(queue_ns, compute_ns, sizes)

    def _head(self, array: Array) -> tuple[bytes, int, int] | None:
        found = inline_head(array)
        if found is None:
            return None
        head, size = found
        if len(self._heads) >= _MOST_KNOWN:
            self._heads.clear()
        head = b"\x1a" + number(len(head) + size) + head
        known = self._heads[array.dtype, array.shape] = head, size, len(head) + size
        return known


def _account(queue_ns: int, compute_ns: int, sizes: bytes) -> bytes:
    if compute_ns and not queue_ns:
        account = b"\x10" + number(compute_ns) + sizes
    elif compute_ns:
        account = b"\x08" + number(queue_ns) + b"\x10" + number(compute_ns) + sizes
    else:
        account = number_field(b"\x08", queue_ns) + number_field(b"\x10", compute_ns) + sizes
    return b"\x22" + number(len(account)) + account


def _sizes(batch_size: int, input_bytes: int, output_bytes: int) -> bytes:
    """The rest of an Account."""
    return (
        number_field(b"\x18", batch_size)
        + number_field(b"\x20", input_bytes)
        + number_field(b"\x28", output_bytes)
    )


def refusal(
    call_id: int,
    error: common_pb2.Error,
    queue_ns: int = 0,
    compute_ns: int = 0,
    batch_size: int = 0,
    input_bytes: int = 0,
) -> EncodedAnswer:
    """The answer of a call that failed; with an account if it has a batch size."""
    text = error.SerializeToString()
    data = number_field(b"\x08", call_id) + b"\x12" + number(len(text)) + text
    if batch_size:
        data += _account(queue_ns, compute_ns, _sizes(batch_size, input_bytes, 0))
    return EncodedAnswer(call_id, (data,), len(data), Deferred())
