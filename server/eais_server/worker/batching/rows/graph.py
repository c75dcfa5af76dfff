"""An ONNX graph as the proof needs it, read from its protobuf wire format. (Brain)

Where the format lets a parser choose (a field that is there twice, say), the graph is unproven:
the runtime might have chosen otherwise.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from eais.errors import ModelRejected
from eais.onnx_external import EXTERNAL
from eais.onnx_wire import BYTES, FIXED32, VARINT, Buffer, read_fields, read_text, read_varint
from eais_server.worker.batching.rows.values import Unproven

Number: TypeAlias = int | float
Extent: TypeAlias = tuple[int, int]
K = TypeVar("K")
V = TypeVar("V")

MAX_NODES: Final = 50_000
MAX_ITEMS: Final = 64
"""Elements of a constant that are read; weights have more, and are nobody's shape."""
_MAX_ATTRIBUTE: Final = 4096
"""Bytes of an attribute that is read; the trees of an ensemble have more."""
_MAX_NAME: Final = 1024
# TensorProto.DataType -> how an element is laid out in raw_data.
_RAW: Final[Mapping[int, str]] = {1: "<f", 6: "<i", 7: "<q", 9: "<?", 11: "<d"}
# And in which field it is otherwise.
_TYPED: Final[Mapping[int, int]] = {1: 4, 6: 5, 9: 5, 7: 7, 11: 10}
_FLOAT, _INT, _STRING, _TENSOR, _FLOATS, _INTS = 2, 3, 4, 5, 7, 8


@dataclass(frozen=True, slots=True)
class Tensor:
    """A constant.

    Attributes:
        items: its elements, if they are at most `MAX_ITEMS` numbers that lie in the model.
    """

    dims: tuple[int, ...]
    items: tuple[Number, ...] | None = None


@dataclass(frozen=True, slots=True)
class Attributes:
    """A node's attributes by name; which are there but weren't read are in `unread`."""

    ints: Mapping[str, int] = field(default_factory=dict)
    lists: Mapping[str, tuple[Number, ...]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Node:
    """A node; an input or output that is left out is ""."""

    domain: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes = field(default_factory=Attributes)


@dataclass(frozen=True, slots=True)
class Declared:
    """An input or output of the graph.

    Attributes:
        dims: a size, a symbol, or "" for one that isn't said; None: the rank isn't said, or
            it is no tensor.
    """

    name: str
    dims: tuple[int | str, ...] | None


@dataclass(frozen=True, slots=True)
class Graph:
    """A model's main graph.

    Attributes:
        opsets: domain -> version; ONNX's own domain is "".
        functions: (domain, name) of the model's own functions.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Tensor]
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    opsets: Mapping[str, int]
    functions: frozenset[tuple[str, str]]


def read_graph(data: Buffer) -> Graph:
    """The main graph of a serialised ModelProto.

    Raises:
        Unproven: it can't be read in one way only, or is too large.
    """
    try:
        return _model(data)
    except (ModelRejected, struct.error) as error:
        raise Unproven(f"the model can't be read: {error}") from None


def _model(data: Buffer) -> Graph:
    graphs, opsets, functions = list[Extent](), dict[str, int](), set[tuple[str, str]]()
    for number, wire, value, length, _ in read_fields(data, 0, len(data)):
        if wire != BYTES:
            continue
        extent = (value, value + length)
        if number == 7:
            graphs.append(extent)
        elif number == 8:
            texts, ints = _simple(data, extent)
            _put(opsets, _domain(texts.get(1, "")), ints.get(2, 0))
        elif number == 25:
            texts, _ints = _simple(data, extent)
            functions.add((_domain(texts.get(10, "")), texts.get(1, "")))
    if len(graphs) != 1:
        raise Unproven("the model has no graph, or several")
    return _graph(data, graphs[0], opsets, frozenset(functions))


def _graph(
    data: Buffer, extent: Extent, opsets: Mapping[str, int], functions: frozenset[tuple[str, str]]
) -> Graph:
    nodes, constants = list[Node](), dict[str, Tensor]()
    inputs, outputs = list[Declared](), list[Declared]()
    for number, wire, value, length, _ in read_fields(data, *extent):
        inside = (value, value + length)
        if wire != BYTES:
            continue
        if number == 1:
            nodes.append(_node(data, inside))
        elif number == 5:
            _put(constants, *_tensor(data, inside))
        elif number == 11:
            inputs.append(_declared(data, inside))
        elif number == 12:
            outputs.append(_declared(data, inside))
        if len(nodes) > MAX_NODES:
            raise Unproven(f"more than {MAX_NODES} nodes")
    return Graph(tuple(nodes), constants, tuple(inputs), tuple(outputs), opsets, functions)


def _node(data: Buffer, extent: Extent) -> Node:
    inputs, outputs, attributes = list[str](), list[str](), list[Extent]()
    names = dict[int, str]()
    for number, wire, value, length, _ in read_fields(data, *extent):
        if wire != BYTES:
            continue
        if number == 1:
            inputs.append(_name(data, value, length))
        elif number == 2:
            outputs.append(_name(data, value, length))
        elif number in (4, 7):
            _put(names, number, _name(data, value, length))
        elif number == 5:
            attributes.append((value, value + length))
    return Node(
        _domain(names.get(7, "")),
        names.get(4, ""),
        tuple(inputs),
        tuple(outputs),
        _attributes(data, attributes),
    )


def _attributes(data: Buffer, extents: list[Extent]) -> Attributes:
    ints, lists = dict[str, int](), dict[str, tuple[Number, ...]]()
    texts, tensors, unread = dict[str, str](), dict[str, Tensor](), set[str]()
    seen = dict[str, None]()
    for extent in extents:
        name = _attribute_name(data, extent)
        _put(seen, name, None)
        kind, found = _attribute(data, extent)
        if kind == _INT and isinstance(found, int):
            ints[name] = found
        elif kind in (_INTS, _FLOATS) and isinstance(found, tuple):
            lists[name] = found
        elif kind == _STRING and isinstance(found, str):
            texts[name] = found
        elif kind == _TENSOR and isinstance(found, Tensor):
            tensors[name] = found
        else:
            unread.add(name)
    return Attributes(ints, lists, texts, tensors, frozenset(unread))


def _attribute_name(data: Buffer, extent: Extent) -> str:
    # The name comes first, but for writers that think otherwise.
    for number, wire, value, length, _ in read_fields(data, *extent):
        if number == 1 and wire == BYTES:
            return _name(data, value, length)
    raise Unproven("an attribute without a name")


def _attribute(
    data: Buffer, extent: Extent
) -> tuple[int, int | str | Tensor | tuple[Number, ...] | None]:
    """Which field holds its value, and the value; None: it isn't read, or is several."""
    numbers, singles = dict[int, list[Number]](), dict[int, int | str | Tensor]()
    for number, wire, value, length, _ in read_fields(data, *extent):
        inside = (value, value + length)
        if number == _TENSOR and wire == BYTES:
            _put(singles, number, _tensor(data, inside)[1])
        elif number in (1, 13, 20):
            continue
        elif extent[1] - extent[0] > _MAX_ATTRIBUTE:
            return 0, None
        elif number == _INT and wire == VARINT:
            _put(singles, number, _signed(value))
        elif number == _STRING and wire == BYTES:
            _put(singles, number, read_text(data, value, length))
        elif number in (_INTS, _FLOATS):
            own = numbers.setdefault(number, [])
            own.extend(_numbers(data, wire, inside, "q" if number == _INTS else "f"))
        else:
            return 0, None
    if len(numbers) + len(singles) != 1:
        return 0, None
    for kind, several in numbers.items():
        return kind, tuple(several)
    return next(iter(singles.items()))


def _tensor(data: Buffer, extent: Extent) -> tuple[str, Tensor]:
    """Name and tensor."""
    name, element, dims, external = "", 0, list[int](), False
    where = list[tuple[int, int, Extent]]()
    for number, wire, value, length, _ in read_fields(data, *extent):
        inside = (value, value + length)
        if number == 8 and wire == BYTES:
            name = _name(data, value, length)
        elif number == 2 and wire == VARINT:
            element = value
        elif number == 1:
            dims += [int(dim) for dim in _numbers(data, wire, inside, "q")]
        elif number in (13, 14):
            external |= number == 13 or value == EXTERNAL
        elif len(where) <= MAX_ITEMS:
            where.append((number, wire, inside))
    if len(dims) > MAX_ITEMS or any(dim < 0 for dim in dims):
        raise Unproven(f"tensor {name!r} has no shape")
    shape = tuple(dims)
    if external or math.prod(shape) > MAX_ITEMS:
        return name, Tensor(shape)
    return name, Tensor(shape, _items(data, element, math.prod(shape), where))


def _items(
    data: Buffer, element: int, count: int, where: list[tuple[int, int, Extent]]
) -> tuple[Number, ...] | None:
    """The elements of a small tensor; None for a type that isn't read."""
    found = list[Number]()
    for number, wire, inside in where:
        if number == 9 and wire == BYTES and element in _RAW:
            layout = _RAW[element]
            raw = bytes(data[inside[0] : inside[1]])
            found += [item for (item,) in struct.iter_unpack(layout, raw)]
        elif number == _TYPED.get(element):
            found += _numbers(data, wire, inside, {1: "f", 11: "d"}.get(element, "q"))
    return tuple(found) if len(found) == count else None


def _numbers(data: Buffer, wire: int, extent: Extent, kind: str) -> Iterator[Number]:
    """What a repeated field holds here: one number, or several that are packed.

    Args:
        kind: "q" for integers, "f" and "d" for floating-point numbers.
    """
    position, end = extent
    if wire == VARINT:
        yield _signed(position)
    elif wire == BYTES and kind == "q":
        while position < end:
            number, position = read_varint(data, position, end)
            yield _signed(number)
    elif wire == BYTES or (wire == FIXED32) == (kind == "f"):
        for (item,) in struct.iter_unpack(f"<{kind}", bytes(data[position:end])):
            yield item


def _declared(data: Buffer, extent: Extent) -> Declared:
    """A ValueInfoProto."""
    names, types = dict[int, str](), dict[int, Extent]()
    for number, wire, value, length, _ in read_fields(data, *extent):
        if number == 1 and wire == BYTES:
            _put(names, 1, _name(data, value, length))
        elif number == 2 and wire == BYTES:
            _put(types, 2, (value, value + length))
    tensor = _only(data, types.get(2), 1)
    shape = _only(data, tensor, 2)
    return Declared(names.get(1, ""), _dims(data, shape) if shape else None)


def _only(data: Buffer, extent: Extent | None, wanted: int) -> Extent | None:
    """Where the message in field `wanted` is; None if there is none."""
    found = dict[int, Extent]()
    for number, wire, value, length, _ in read_fields(data, *(extent or (0, 0))):
        if number == wanted and wire == BYTES:
            _put(found, number, (value, value + length))
    return found.get(wanted)


def _dims(data: Buffer, extent: Extent) -> tuple[int | str, ...]:
    """A TensorShapeProto."""
    dims = list[int | str]()
    for number, wire, value, length, _ in read_fields(data, *extent):
        if number == 1 and wire == BYTES:
            texts, ints = _simple(data, (value, value + length))
            dims.append(ints[1] if 1 in ints else texts.get(2, ""))
    return tuple(dims)


def _simple(data: Buffer, extent: Extent) -> tuple[dict[int, str], dict[int, int]]:
    """The texts and integers among a message's own fields."""
    texts, ints = dict[int, str](), dict[int, int]()
    for number, wire, value, length, _ in read_fields(data, *extent):
        if wire == VARINT:
            _put(ints, number, _signed(value))
        elif wire == BYTES and length <= _MAX_NAME:
            # Several of those that aren't asked for are none of our business.
            texts[number] = read_text(data, value, length)
    return texts, ints


def _put(into: dict[K, V], key: K, value: V) -> None:
    if key in into:
        raise Unproven(f"{key!r} is there twice")
    into[key] = value


def _name(data: Buffer, value: int, length: int) -> str:
    if length > _MAX_NAME:
        raise Unproven("a name is too long")
    return read_text(data, value, length)


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
