"""External references found on the wire, against onnx's own reading of the same bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from eais.errors import ModelRejected
from eais.onnx_external import (
    _BITS,
    INSIDE,
    MAX_DEPTH,
    ExternalReference,
    check_references,
    is_plain_location,
    scan_model,
)

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def external(name: str = "w", **entries: str) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "w.bin"} | entries).items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def model(graph: onnx.GraphProto | None = None) -> onnx.ModelProto:
    return helper.make_model(graph or onnx.GraphProto(name="g"))


def node(*attributes: onnx.AttributeProto) -> onnx.NodeProto:
    made = onnx.NodeProto(op_type="If", domain="d")
    made.attribute.extend(attributes)
    return made


def nested(depth: int) -> onnx.GraphProto:
    graph = onnx.GraphProto(initializer=[external()])
    for _ in range(depth):
        graph = onnx.GraphProto(node=[node(onnx.AttributeProto(name="body", g=graph))])
    return graph


def in_initializer() -> onnx.ModelProto:
    return model(onnx.GraphProto(initializer=[external()]))


def in_sparse(field: str) -> onnx.ModelProto:
    tensor: Any = external()
    sparse = onnx.SparseTensorProto(**{field: tensor})
    return model(onnx.GraphProto(sparse_initializer=[sparse]))


def in_attribute(**fields: Any) -> onnx.ModelProto:
    return model(onnx.GraphProto(node=[node(onnx.AttributeProto(name="a", **fields))]))


def in_function() -> onnx.ModelProto:
    made = model()
    inside = node(onnx.AttributeProto(name="a", t=external()))
    made.functions.append(onnx.FunctionProto(name="f", domain="d", node=[inside]))
    return made


def in_function_default() -> onnx.ModelProto:
    made = model()
    default = onnx.AttributeProto(name="a", t=external())
    made.functions.append(onnx.FunctionProto(name="f", attribute_proto=[default]))
    return made


def in_training(field: str) -> onnx.ModelProto:
    made = model()
    graph: Any = onnx.GraphProto(initializer=[external()])
    made.training_info.append(onnx.TrainingInfoProto(**{field: graph}))
    return made


PLACES: dict[str, Callable[[], onnx.ModelProto]] = {
    "initializer": in_initializer,
    "sparse values": lambda: in_sparse("values"),
    "sparse indices": lambda: in_sparse("indices"),
    "attribute t": lambda: in_attribute(t=external()),
    "attribute tensors": lambda: in_attribute(tensors=[external()]),
    "attribute g": lambda: in_attribute(g=onnx.GraphProto(initializer=[external()])),
    "attribute graphs": lambda: in_attribute(graphs=[onnx.GraphProto(initializer=[external()])]),
    "attribute sparse": lambda: in_attribute(
        sparse_tensor=onnx.SparseTensorProto(values=external())
    ),
    "attribute sparses": lambda: in_attribute(
        sparse_tensors=[onnx.SparseTensorProto(values=external())]
    ),
    "function": in_function,
    "function default": in_function_default,
    "training initialization": lambda: in_training("initialization"),
    "training algorithm": lambda: in_training("algorithm"),
    "nested": lambda: model(nested(8)),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_reference_is_found_wherever_a_tensor_can_be(place: str) -> None:
    data = PLACES[place]().SerializeToString()
    found = [ExternalReference("w", "w.bin", length=8)]
    assert list(scan_model(data).references) == found
    assert list(scan_model(memoryview(bytearray(data))).references) == found


def tensors(message: object) -> Iterator[onnx.TensorProto]:
    """Every TensorProto anywhere below, by onnx's own descriptors."""
    for field, value in message.ListFields():  # type: ignore[attr-defined]
        if field.message_type is None:
            continue
        for part in value if hasattr(value, "__len__") else [value]:
            if isinstance(part, onnx.TensorProto):
                yield part
            yield from tensors(part)


def test_every_message_that_can_hold_a_tensor_is_walked() -> None:
    """The table of fields is onnx's, from its descriptors: a new field in onnx fails here."""
    want: dict[str, dict[int, str]] = {}
    kinds = {"TensorProto", *INSIDE}
    for kind in INSIDE:
        fields = getattr(onnx, kind).DESCRIPTOR.fields
        found = {f.number: f.message_type.name for f in fields if f.message_type}
        want[kind] = {number: name for number, name in found.items() if name in kinds}
    assert {kind: dict(fields) for kind, fields in INSIDE.items()} == want
    outside = {"ValueInfoProto", "TypeProto", "OperatorSetIdProto", "TensorAnnotation"}
    for kind in outside:
        fields = getattr(onnx, kind).DESCRIPTOR.fields
        assert not [f for f in fields if f.message_type and f.message_type.name in kinds]


@pytest.mark.parametrize("path", sorted(LIGHT.glob("*.onnx")), ids=lambda path: path.stem)
def test_real_models_have_none_and_their_ops_are_named(path: Path) -> None:
    data = path.read_bytes()
    scan = scan_model(data)
    assert scan.references == ()
    graph = onnx.load_from_string(data).graph
    assert scan.ops == {(n.domain, n.op_type) for n in graph.node}


def test_offsets_and_lengths_are_read() -> None:
    graph = onnx.GraphProto(initializer=[external(offset="4096", length="8")])
    (found,) = scan_model(model(graph).SerializeToString()).references
    assert (found.offset, found.length, found.fault) == (4096, 8, "")


def test_numbers_of_an_attribute_are_stepped_over() -> None:
    attribute = onnx.AttributeProto(
        name="a", floats=[0.5] * 1000, ints=[-1, 0, 1 << 40] * 500, t=external(), i=7, f=1.5
    )
    scan = scan_model(model(onnx.GraphProto(node=[node(attribute)])).SerializeToString())
    assert [r.location for r in scan.references] == ["w.bin"]


def refused(data: bytes, manifest: dict[str, int]) -> str:
    with pytest.raises(ModelRejected) as caught:
        check_references(scan_model(data).references, manifest)
    assert "secret" not in caught.value.message
    return caught.value.reason


BAD_LOCATIONS = [
    "../secret.bin",
    "a/../secret.bin",
    "/secret",
    "./secret.bin",
    "a//secret",
    "secret.bin",
    "*/_ORT_MEM_ADDR_/*",
    "*/_ORT_NATIVE_ENDIAN_MEM_ADDR_/*",
    "_ORT_MEM_ADDR_secret",
    "a\\secret",
    "secret\0",
    "",
]


@pytest.mark.parametrize("location", BAD_LOCATIONS)
def test_a_file_that_was_not_sent_is_refused(location: str) -> None:
    data = model(onnx.GraphProto(initializer=[external(location=location)])).SerializeToString()
    assert refused(data, {"w.bin": 8}) == "EXTERNAL_DATA_REFUSED"


@pytest.mark.parametrize("location", [name for name in BAD_LOCATIONS if name != "secret.bin"])
def test_a_manifest_can_not_allow_a_location_that_leaves_the_folder(location: str) -> None:
    assert not is_plain_location(location)
    with pytest.raises(ModelRejected):
        check_references([ExternalReference("w", location)], {location: 8})


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "-1"},
        {"offset": str(1 << 63)},
        {"length": "-8"},
        {"length": "9"},
        {"offset": "1", "length": "8"},
        {"offset": "9"},
        {"offset": "4"},
        {"offset": "0x1"},
        {"offset": " 1"},
        {"offset": "\u0661"},
        {"__class__": "x"},
        {"basepath": "/"},
    ],
)
def test_ranges_outside_the_file_and_unknown_keys_are_refused(entries: dict[str, str]) -> None:
    data = model(onnx.GraphProto(initializer=[external(**entries)])).SerializeToString()
    assert refused(data, {"w.bin": 8}) == "EXTERNAL_DATA_BOUNDS"


def test_what_the_manifest_covers_is_let_through() -> None:
    tensors = [external("a", length="8"), external("b", offset="8"), external("c", location="d/e")]
    scan = scan_model(model(onnx.GraphProto(initializer=tensors)).SerializeToString())
    check_references(scan.references, {"w.bin": 16, "d/e": 8})
    assert scan.locations == ("d/e", "w.bin")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("kind", "dims", "length"),
    [
        (TensorProto.FLOAT, [3, 5], 60),
        (TensorProto.FLOAT, [], 4),
        (TensorProto.INT4, [3], 2),
        (TensorProto.COMPLEX128, [2], 32),
        (TensorProto.DOUBLE, [0, 7], 0),
        (TensorProto.FLOAT, [1 << 62, 1 << 62], 1 << 126),
        (TensorProto.FLOAT, [-1], None),
        (TensorProto.STRING, [2], None),
        (999, [2], None),
        (TensorProto.FLOAT, [1] * 65, None),
    ],
)
def test_without_a_length_dims_and_type_say_it(
    kind: int, dims: list[int], length: int | None, packed: bool
) -> None:
    tensor = external()
    tensor.data_type = kind
    tensor.ClearField("dims")
    if packed:
        encoded = b"".join(_varint(dim & (1 << 64) - 1) for dim in dims)
        data = tensor.SerializeToString() + b"\x0a" + _varint(len(encoded)) + encoded
    else:
        tensor.dims.extend(dims)
        data = tensor.SerializeToString()
    graph = b"\x2a" + _varint(len(data)) + data
    (found,) = scan_model(b"\x3a" + _varint(len(graph)) + graph).references
    assert found.length == length


def test_the_width_of_each_type_is_onnxs() -> None:
    narrow = {"UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2}
    want = {
        kind: narrow.get(name) or helper.tensor_dtype_to_np_dtype(kind).itemsize * 8
        for name, kind in TensorProto.DataType.items()
        if name not in ("UNDEFINED", "STRING")
    }
    assert want == _BITS


def test_the_models_own_functions_are_named() -> None:
    scan = scan_model(in_function().SerializeToString())
    assert scan.functions == {("d", "f")}
    assert scan.ops == {("d", "If")}


def test_a_key_that_is_there_twice_is_refused() -> None:
    tensor = external()
    tensor.external_data.add(key="location", value="other.bin")
    data = model(onnx.GraphProto(initializer=[tensor])).SerializeToString()
    assert refused(data, {"w.bin": 8, "other.bin": 8}) == "EXTERNAL_DATA_BOUNDS"


def test_a_reference_split_over_two_pieces_of_one_field_is_refused() -> None:
    """Protobuf merges the pieces of a field that isn't repeated; neither piece may hide."""
    entries = onnx.TensorProto(external_data=external(location="secret.bin").external_data)
    flag = onnx.TensorProto(data_location=TensorProto.EXTERNAL, dims=[2], data_type=1)
    pieces = [onnx.AttributeProto(t=piece) for piece in (entries, flag)]
    joined = b"".join(piece.SerializeToString() for piece in pieces)
    merged = onnx.AttributeProto.FromString(joined)
    assert merged.t.data_location == TensorProto.EXTERNAL
    assert merged.t.external_data[0].value == "secret.bin"
    inner = b"\x2a" + _varint(len(joined)) + joined
    graph = b"\x0a" + _varint(len(inner)) + inner
    data = b"\x3a" + _varint(len(graph)) + graph
    assert refused(data, {"w.bin": 8}) == "EXTERNAL_DATA_REFUSED"
    assert len(scan_model(data).references) == 2


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def reason_of(data: bytes) -> str:
    with pytest.raises(ModelRejected) as caught:
        scan_model(data)
    return caught.value.reason


@pytest.mark.parametrize(
    "data",
    [
        b"garbage bytes",
        b"\x3a",
        b"\x3a\x05abc",
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x08" + b"\xff" * 11,
        b"\x3b\x3c",
        b"\x00\x00",
        b"\x3d\x00",
    ],
)
def test_what_is_no_protobuf_is_refused(data: bytes) -> None:
    assert reason_of(data) == "MODEL_PARSE"


def test_an_empty_file_refers_to_nothing() -> None:
    assert scan_model(b"").references == ()


def test_depth_is_bounded() -> None:
    assert scan_model(model(nested(MAX_DEPTH // 4)).SerializeToString()).references
    graph = nested(0).SerializeToString()
    for _ in range(200):
        attribute = b"\x32" + _varint(len(graph)) + graph
        inner = b"\x2a" + _varint(len(attribute)) + attribute
        graph = b"\x0a" + _varint(len(inner)) + inner
    assert reason_of(b"\x3a" + _varint(len(graph)) + graph) == "MODEL_INVALID"


def test_every_truncation_of_a_real_model_is_refused_or_shorter() -> None:
    data = (LIGHT / "light_squeezenet.onnx").read_bytes()
    whole = scan_model(data).ops
    answers = [answer(data[:end]) for end in random.Random(7).sample(range(len(data)), 60)]
    assert "MODEL_PARSE" in answers
    assert all(found == "MODEL_PARSE" or found <= whole for found in answers)


def answer(data: bytes) -> Any:
    try:
        return scan_model(data).ops
    except ModelRejected as error:
        return error.reason


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_models_never_hide_a_reference_that_onnx_reads(data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(sorted(PLACES)))
    raw = bytearray(PLACES[place]().SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = onnx.ModelProto.FromString(bytes(raw))
    except DecodeError:
        return
    wanted = {
        as_text(entry.value)
        for tensor in tensors(read)
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    try:
        scan = scan_model(bytes(raw))
    except ModelRejected:
        return
    assert wanted <= set(scan.locations) | {r.location for r in scan.references if r.fault}


def as_text(value: str | bytes) -> str:
    """What the protobuf runtime gives for a proto2 string, whether it is UTF-8 or not."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_answered(data: bytes) -> None:
    found = answer(data)
    assert found in {"MODEL_PARSE", "MODEL_INVALID"} or isinstance(found, frozenset)
