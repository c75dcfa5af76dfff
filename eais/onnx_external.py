"""What a model's file refers to, read from its protobuf wire format alone.

Runtimes read whatever file a model names as external data, relative to the
model or even to the process's directory. So each reference is found here, by a
walk that knows nothing of ONNX but where tensors can be, and checked against
the files that were sent, before a runtime sees the model.

The walk is stricter than any protobuf parser: what one of them would merge,
repeat or skip in a way that could hide a reference is a fault. It takes time
linear in the bytes outside tensors, whose inline data it steps over, and
memory linear in what it finds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from eais.errors import ModelRejected
from eais.onnx_wire import BYTES, VARINT, Buffer, read_fields, read_text, read_varint

# Protobuf's own limit: what nests deeper is read by no parser either.
MAX_DEPTH: Final = 100
MAX_REFERENCES: Final = 1 << 20
MAX_NAME: Final = 256
MAX_DIMS: Final = 64
_INT64_MAX: Final = (1 << 63) - 1
_NUMBER: Final = re.compile(r"[0-9]{1,19}")

# Which fields of a message lead to tensors: field number -> kind of message.
# Numbers are those of onnx.proto; a kind that isn't listed has no such field.
INSIDE: Final[Mapping[str, Mapping[int, str]]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
}
# What gives a node its op and domain, and a function its name and domain.
_NAMING: Final[Mapping[str, tuple[int, int]]] = {"NodeProto": (4, 7), "FunctionProto": (1, 10)}
_TENSOR_DIMS, _TENSOR_TYPE = 1, 2
_TENSOR_NAME = 8
EXTERNAL_DATA, DATA_LOCATION = 13, 14
# TensorProto.DataType -> bits of an element; strings can't lie in another file.
_BITS: Final[Mapping[int, int]] = {
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64),
    15: 128,
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((25, 26), 2),
}
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
EXTERNAL: Final = 1
"""The DATA_LOCATION of a tensor whose bytes lie in another file."""
# An attribute's floats and ints are not packed: one field an element, millions in a tree
# ensemble. Their runs are stepped over by the regular expression engine.
_NUMBERS: Final = re.compile(
    rb"(?:\x3d[\x00-\xff]{4})++|(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])++", re.DOTALL
)
# "checksum" is in onnx.proto and read by nobody.
_KNOWN_KEYS: Final = frozenset({"location", "offset", "length", "checksum"})
# onnxruntime's own marks for "the data is at this address of the process".
_MEMORY: Final = re.compile(r"_ORT_[A-Z_]*MEM_ADDR_")


@dataclass(frozen=True, slots=True)
class ExternalReference:
    """A tensor whose bytes lie in another file.

    Attributes:
        tensor: its name, clipped to 256 characters; "" if it has none.
        location: the file, as the model writes it; "" if it names none.
        offset: in bytes, 0 if not given.
        length: in bytes; what the tensor's dims need if not given; None if they don't say.
        fault: what is wrong with the entries themselves, or "".
    """

    tensor: str
    location: str
    offset: int = 0
    length: int | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ModelScan:
    """What a model refers to.

    Attributes:
        references: each EXTERNAL tensor of graphs, subgraphs, functions,
            attributes, sparse tensors and training information.
        ops: (domain, op type) of all nodes; "" is ONNX's own domain.
        functions: (domain, name) of the model's own functions, which its nodes may call.
    """

    references: tuple[ExternalReference, ...]
    ops: frozenset[tuple[str, str]]
    functions: frozenset[tuple[str, str]] = frozenset()

    @property
    def locations(self) -> tuple[str, ...]:
        """The files that the model names, each once, sorted."""
        return tuple(sorted({r.location for r in self.references if r.location}))


def scan_model(data: Buffer) -> ModelScan:
    """Walk a serialised ModelProto.

    Raises:
        ModelRejected: MODEL_PARSE when it isn't one; MODEL_INVALID when its messages nest
            deeper than `MAX_DEPTH`; MODEL_TOO_LARGE above `MAX_REFERENCES` external tensors.
    """
    walk = _Walk(data)
    # Depth first by hand: the depth is the model's to choose.
    pending: list[tuple[str, int, int, int]] = [("ModelProto", 0, len(data), 0)]
    while pending:
        kind, start, end, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ModelRejected("MODEL_INVALID", f"graphs nest deeper than {MAX_DEPTH} messages")
        walk.visit(kind, start, end, depth, pending)
    named = walk.named
    return ModelScan(
        tuple(walk.references), frozenset(named["NodeProto"]), frozenset(named["FunctionProto"])
    )


def check_references(references: Iterable[ExternalReference], manifest: Mapping[str, int]) -> None:
    """Refuse each reference that isn't to a file of `manifest` (location to size in bytes).

    Raises:
        ModelRejected: EXTERNAL_DATA_REFUSED for a file that wasn't sent, or may not be named;
            EXTERNAL_DATA_BOUNDS for a range outside the file, or entries that aren't ONNX's.
    """
    for reference in references:
        whose = f"tensor {reference.tensor[:64]!r}"
        if reference.fault:
            raise ModelRejected("EXTERNAL_DATA_BOUNDS", f"{whose}: {reference.fault}")
        if not is_plain_location(reference.location) or reference.location not in manifest:
            raise ModelRejected(
                "EXTERNAL_DATA_REFUSED", f"{whose} refers to a file that is not part of the model"
            )
        size = manifest[reference.location]
        if reference.offset + (reference.length or 0) > size:
            raise ModelRejected(
                "EXTERNAL_DATA_BOUNDS", f"{whose} lies outside its file of {size} bytes"
            )


def is_plain_location(location: str) -> bool:
    """Whether it names a file below the model's folder: relative, without "." or ".." parts."""
    if not location or len(location) > 4096 or "\0" in location or "\\" in location:
        return False
    return not {"", ".", ".."} & set(location.split("/")) and not names_memory(location)


def names_memory(location: str) -> bool:
    """Whether a runtime would take it for an address of its own process."""
    return _MEMORY.search(location) is not None


@dataclass
class _Walk:
    data: Buffer
    references: list[ExternalReference] = field(default_factory=list)
    named: dict[str, set[tuple[str, str]]] = field(
        default_factory=lambda: {kind: set() for kind in _NAMING}
    )

    def visit(
        self, kind: str, start: int, end: int, depth: int, pending: list[tuple[str, int, int, int]]
    ) -> None:
        """Read one message; what lies inside it is put on `pending`."""
        if kind == "TensorProto":
            self._tensor(start, end)
            return
        inside, naming = INSIDE[kind], _NAMING.get(kind, ())
        names = ["", ""]
        skipped = _NUMBERS if kind == "AttributeProto" else None
        for number, wire, value, length, _ in read_fields(self.data, start, end, skipped):
            if wire != BYTES:
                continue
            child = inside.get(number)
            if child is not None:
                pending.append((child, value, value + length, depth + 1))
            elif number in naming:
                names[naming.index(number)] = read_text(self.data, value, length)
        if naming:
            self.named[kind].add((names[1], names[0]))

    def _tensor(self, start: int, end: int) -> None:
        reference = read_reference(self.data, start, end)
        if reference is not None:
            if len(self.references) == MAX_REFERENCES:
                raise ModelRejected(
                    "MODEL_TOO_LARGE", f"more than {MAX_REFERENCES} external tensors"
                )
            self.references.append(reference)


def read_reference(data: Buffer, start: int, end: int) -> ExternalReference | None:
    """What the TensorProto from `start` to `end` refers to; None if nothing.

    Raises:
        ModelRejected: MODEL_PARSE.
    """
    name, entries, external = "", list[tuple[str, str]](), False
    dims, element = list[int](), 0
    for number, wire, value, length, _ in read_fields(data, start, end):
        if number == DATA_LOCATION and wire == VARINT:
            external |= value == EXTERNAL
        elif number == EXTERNAL_DATA and wire == BYTES:
            entries.append(_entry(data, value, value + length))
        elif number == _TENSOR_NAME and wire == BYTES:
            name = read_text(data, value, min(length, MAX_NAME))
        elif number == _TENSOR_TYPE and wire == VARINT:
            element = value
        elif number == _TENSOR_DIMS:
            dims += _dims(data, wire, value, length)
    # Entries alone count too: merged with another piece of the same field, they'd be read.
    if external or entries:
        return _reference(name, entries, _needed(dims, element))
    return None


def _dims(data: Buffer, wire: int, value: int, length: int) -> list[int]:
    """One dim, or all of them packed; those after `MAX_DIMS` are nobody's."""
    if wire != BYTES:
        return [value]
    found, end = list[int](), value + length
    while value < end and len(found) <= MAX_DIMS:
        dim, value = read_varint(data, value, end)
        found.append(dim)
    return found


def _entry(data: Buffer, start: int, end: int) -> tuple[str, str]:
    key = text = ""
    for number, wire, value, length, _ in read_fields(data, start, end):
        if wire == BYTES and number == _ENTRY_KEY:
            key = read_text(data, value, length)
        elif wire == BYTES and number == _ENTRY_VALUE:
            text = read_text(data, value, length)
    return key, text


def _needed(dims: list[int], element: int) -> int | None:
    """How many bytes such a tensor has; None if it can't be one."""
    if element not in _BITS or len(dims) > MAX_DIMS or any(dim > _INT64_MAX for dim in dims):
        return None
    return -(-math.prod(dims) * _BITS[element] // 8)


def _reference(name: str, entries: list[tuple[str, str]], needed: int | None) -> ExternalReference:
    given = dict(entries)
    location = given.get("location", "")
    fault = _fault(entries, given)
    if fault:
        return ExternalReference(name, location, fault=fault)
    length = int(given["length"]) if "length" in given else needed
    return ExternalReference(name, location, int(given.get("offset", "0")), length)


def _fault(entries: list[tuple[str, str]], given: Mapping[str, str]) -> str:
    unknown = given.keys() - _KNOWN_KEYS
    if unknown:
        return f"unknown key {min(unknown)[:64]!r} in its external data"
    if len(entries) != len(given):
        return "a key of its external data is there twice"
    for key in ("offset", "length"):
        text = given.get(key, "0")
        if not _NUMBER.fullmatch(text) or int(text) > _INT64_MAX:
            return f"{key} = {text[:32]!r} is not a number of bytes"
    return ""
