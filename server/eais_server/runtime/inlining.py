"""Puts the bytes of tensors that lie in other files into the model, where onnxruntime wants it.

Whatever lies below a node, onnxruntime has onnx's check look at; all but a Constant's own value
outside subgraphs. That check refuses a file with several hard links, and such are a model's
files in a worker's directory. Initializers of the main graph aren't checked so: they stay where
they are, and the runtime maps them.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from eais.errors import ModelRejected
from eais.onnx_external import DATA_LOCATION, EXTERNAL, EXTERNAL_DATA, INSIDE, read_reference
from eais.onnx_wire import BYTES, MAX_LENGTH, VARINT, Buffer, field_head, read_fields, read_text

_RAW_DATA: Final = 9
_WHERE: Final = frozenset({(EXTERNAL_DATA, BYTES), (DATA_LOCATION, VARINT)})
_OP_TYPE, _DOMAIN = 4, 7
_CONSTANTS: Final = frozenset({("", "Constant"), ("ai.onnx", "Constant")})
_READ_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file of the model; `location` "" for the model itself."""

    location: str
    offset: int
    length: int


Piece: TypeAlias = bytes | Span


def inline(path: Path, data: Buffer) -> bytes | None:
    """The model in `data`, with what its nodes keep in files beside `path`; None if nothing.

    Its references are checked already.

    Raises:
        ModelRejected: MODEL_TOO_LARGE, with metadata limit and got, for more than a
            model's file may have.
        OSError: a file can't be read.
    """
    pieces = inlined_pieces(data)
    if pieces is None:
        return None
    size = _size(pieces)
    if size > MAX_LENGTH:
        raise ModelRejected(
            "MODEL_TOO_LARGE",
            f"the model has {size} bytes with the external data of its subgraphs and nodes;"
            f" at most {MAX_LENGTH} are taken",
            hint="make them initializers of the main graph",
            metadata={"limit": str(MAX_LENGTH), "got": str(size)},
        )
    whole = io.BytesIO()
    for piece in pieces:
        if isinstance(piece, bytes):
            whole.write(piece)
        elif piece.location:
            _copy(path.parent / piece.location, piece, whole)
        else:
            whole.write(data[piece.offset : piece.offset + piece.length])
    return whole.getvalue()


def inlined_pieces(data: Buffer) -> list[Piece] | None:
    """What the model with these tensors inside is put together from; None: it is as it should be.

    Raises:
        ModelRejected: MODEL_PARSE.
    """
    return _message(data, "ModelProto", (0, len(data)), below_node=False)


def _message(
    data: Buffer, kind: str, extent: tuple[int, int], *, below_node: bool
) -> list[Piece] | None:
    if kind == "TensorProto":
        return _tensor(data, *extent) if below_node else None
    below_node = below_node or (kind == "NodeProto" and not _is_constant(data, extent))
    pieces, copied = list[Piece](), extent[0]
    for number, wire, value, length, begin in read_fields(data, *extent):
        child = INSIDE[kind].get(number) if wire == BYTES else None
        if child is None:
            continue
        # A function's default goes to the nodes that use it.
        below = below_node or (kind == "FunctionProto" and child == "AttributeProto")
        new = _message(data, child, (value, value + length), below_node=below)
        if new is not None:
            head = field_head(number, _size(new))
            pieces += [Span("", copied, begin - copied), head, *new]
            copied = value + length
    return [*pieces, Span("", copied, extent[1] - copied)] if pieces else None


def _is_constant(data: Buffer, extent: tuple[int, int]) -> bool:
    names = {_OP_TYPE: "", _DOMAIN: ""}
    for number, wire, value, length, _ in read_fields(data, *extent):
        if number in names and wire == BYTES:
            names[number] = read_text(data, value, length)
    return (names[_DOMAIN], names[_OP_TYPE]) in _CONSTANTS


def _tensor(data: Buffer, start: int, end: int) -> list[Piece] | None:
    """All its fields but those that say where it lies, and its bytes; None if it lies here."""
    reference = read_reference(data, start, end)
    place, marks = 0, list[tuple[int, bool]]()
    for number, wire, value, _, begin in read_fields(data, start, end):
        says_where = (number, wire) in _WHERE
        marks.append((begin, not says_where))
        if says_where and number == DATA_LOCATION:
            place = value
    if place != EXTERNAL or reference is None or reference.length is None:
        return None
    ends = [begin for begin, _ in marks[1:]] + [end]
    kept = [
        Span("", begin, stop - begin)
        for (begin, keep), stop in zip(marks, ends, strict=True)
        if keep
    ]
    raw = Span(reference.location, reference.offset, reference.length)
    return [*kept, field_head(_RAW_DATA, raw.length), raw]


def _size(pieces: Sequence[Piece]) -> int:
    return sum(len(p) if isinstance(p, bytes) else p.length for p in pieces)


def _copy(path: Path, span: Span, to: io.BytesIO) -> None:
    at, left = span.offset, span.length
    with path.open("rb") as file:
        while left:
            data = os.pread(file.fileno(), min(left, _READ_BYTES), at)
            if not data:
                # It was long enough when it was checked.
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            to.write(data)
            at, left = at + len(data), left - len(data)
