"""What repeats in messages, and what it means. (Brain)

Calls of one session differ in id, times and tensor bytes alone. So what lies between those is
kept, with what it means: a message of the same length is split where the last one was, and if
what lies between is the same bytes, nothing more needs to be understood of it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from eais.transport.parts import Buffer, TensorPart, ValuePart

_MOST_BESIDE: Final = 4096
"""A message with more bytes than these beside its tensors isn't learnt."""
_MOST_KEPT: Final = 1 << 20
"""Bytes of all that is learnt; with more than that, all is forgotten."""
_KEPT_BESIDE: Final = 1024
_KEPT_OF_A_TENSOR: Final = 256
"""What Python takes beside the bytes, about."""
_MOST_ALIKE: Final = 8
"""Splits of messages of the same length."""

Meaning = TypeVar("Meaning")
#: `struct.Struct.unpack_from`.
_Take = Callable[[Buffer, int], tuple[Any, ...]]
#: type, dims, deferred_bytes, and where the raw bytes begin and end.
TensorAt = tuple[int, tuple[int, ...], int, int, int]


class Layouts(Generic[Meaning]):
    """What was learnt of one stream's messages of a kind.

    Attributes:
        by_length: for messages of that length, from where they begin to be alike: what takes
            the bytes beside the tensors from them, and what these mean.
    """

    __slots__ = ("_kept", "by_length")

    def __init__(self) -> None:
        self.by_length: dict[int, list[tuple[_Take, dict[tuple[Any, ...], Meaning], str]]] = {}
        self._kept = 0

    def learn(
        self,
        data: Buffer,
        at: int,
        end: int,
        tensors: Sequence[TensorAt],
        tail: int,
        meaning: Meaning,
    ) -> None:
        """Keep the message from `at` to `end`, whose tail, which isn't kept, begins at `tail`.

        The tensors' and the tail's places are counted from `at`.
        """
        beside = end - at - sum(stop - begin for *_, begin, stop in tensors)
        if beside > _MOST_BESIDE:
            return
        if self._kept > _MOST_KEPT:
            self.by_length.clear()
            self._kept = 0
        self._kept += beside + _KEPT_BESIDE + _KEPT_OF_A_TENSOR * len(tensors)
        layout = _layout(tensors, tail)
        alike = self.by_length.setdefault(end - at, [])
        meanings = next((found for _, found, form in alike if form == layout.format), None)
        if meanings is None:
            meanings = {}
            alike.append((layout.unpack_from, meanings, layout.format))
            del alike[:-_MOST_ALIKE]
        meanings[layout.unpack_from(data, at)] = meaning


def _layout(tensors: Sequence[TensorAt], tail: int) -> struct.Struct:
    """Takes the bytes beside the tensors; the tensors' own are skipped."""
    made, at = "=", 0
    for *_, begin, end in tensors:
        made += f"{begin - at}s{end - begin}x"
        at = end
    return struct.Struct(f"{made}{tail - at}s")


def tensors_at(parts: Sequence[ValuePart], stops: Sequence[int], at: int) -> list[TensorAt] | None:
    """Where the tensors of values are that end at `stops`, counted from `at`.

    None unless all are tensors of numbers, whose raw bytes stand last, or which have none.
    """
    found = []
    for part, stop in zip(parts, stops, strict=True):
        if type(part) is not TensorPart or part.strings or (part.raw and part.deferred_bytes):
            return None
        begin = stop - len(part.raw)
        found.append((part.type, part.dims, part.deferred_bytes, begin - at, stop - at))
    return found
