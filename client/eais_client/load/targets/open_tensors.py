"""Tensors as the open inference protocol has them: types, and bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eais_client.load.target import RequestFailed
from eais_client.signature import NodeArg

if TYPE_CHECKING:
    from eais.rpc.inference import open_inference_pb2 as pb


class Datatype(NamedTuple):
    """Onnxruntime's type, numpy's, and the field of typed contents; "" if there is none."""

    onnx: str
    dtype: str
    contents: str


BYTES: Final = "BYTES"
BF16: Final = "BF16"
DATATYPES: Final = {
    "BOOL": Datatype("tensor(bool)", "?", "bool_contents"),
    "UINT8": Datatype("tensor(uint8)", "u1", "uint_contents"),
    "UINT16": Datatype("tensor(uint16)", "<u2", "uint_contents"),
    "UINT32": Datatype("tensor(uint32)", "<u4", "uint_contents"),
    "UINT64": Datatype("tensor(uint64)", "<u8", "uint64_contents"),
    "INT8": Datatype("tensor(int8)", "i1", "int_contents"),
    "INT16": Datatype("tensor(int16)", "<i2", "int_contents"),
    "INT32": Datatype("tensor(int32)", "<i4", "int_contents"),
    "INT64": Datatype("tensor(int64)", "<i8", "int64_contents"),
    "FP16": Datatype("tensor(float16)", "<f2", ""),
    "FP32": Datatype("tensor(float)", "<f4", "fp32_contents"),
    "FP64": Datatype("tensor(double)", "<f8", "fp64_contents"),
    BF16: Datatype("tensor(bfloat16)", "<u2", ""),
    BYTES: Datatype("tensor(string)", "", "bytes_contents"),
}


def argument(name: str, datatype: str, shape: Sequence[int]) -> NodeArg:
    """What a server says of an input or output; an axis of any size is None."""
    known = DATATYPES.get(datatype)
    sizes: list[int | str | None] = [size if size >= 0 else None for size in shape]
    return NodeArg(name, sizes, known.onnx if known else f"tensor({datatype})")


def to_bytes(array: Any, datatype: str) -> bytes:
    """A tensor's values for a request, row by row."""
    if datatype == BYTES:
        return b"".join(map(_with_length, np.asarray(array, object).ravel()))
    if datatype == BF16 and array.dtype.kind == "f":
        return _upper_halves(np.asarray(array, np.float32)).tobytes()
    return np.asarray(array, DATATYPES[datatype].dtype).tobytes()


def outputs_of(answer: pb.ModelInferResponse, names: Sequence[str]) -> list[NDArray[Any]]:
    """The tensors of an answer, in the order of `names`.

    Raises RequestFailed MALFORMED_ANSWER if one is missing, or its bytes aren't its shape's.
    """
    raw = answer.raw_output_contents
    found = {
        each.name: _output(each, raw[place] if place < len(raw) else None)
        for place, each in enumerate(answer.outputs)
    }
    if missing := [name for name in names if name not in found]:
        raise RequestFailed("MALFORMED_ANSWER", f"the answer has no output {missing[0]!r}")
    return [found[name] for name in names]


def _output(output: pb.ModelInferResponse.InferOutputTensor, raw: bytes | None) -> NDArray[Any]:
    known = DATATYPES.get(output.datatype)
    if known is None:
        text = f"output {output.name!r} is of datatype {output.datatype!r}"
        raise RequestFailed("MALFORMED_ANSWER", text)
    try:
        if raw is not None and not output.HasField("contents"):
            flat = _from_bytes(raw, output.datatype)
        else:
            values = getattr(output.contents, known.contents) if known.contents else ()
            flat = _from_values(list(values), output.datatype)
        if output.datatype == BYTES:
            flat = np.array([_text(each) for each in flat], object)
        if any(size < 0 for size in output.shape):
            raise ValueError("an answer's axes have sizes")
        return flat.reshape(tuple(output.shape))
    except (ValueError, OverflowError, struct.error) as error:
        text = f"output {output.name!r} of shape {list(output.shape)}: {error}"
        raise RequestFailed("MALFORMED_ANSWER", text) from None


def _from_values(values: list[Any], datatype: str) -> NDArray[Any]:
    if datatype == BYTES:
        return np.array(values, object)
    dtype = np.dtype(DATATYPES[datatype].dtype)
    if dtype.kind in "iu":
        # numpy 1 would take the lower bits of what doesn't fit.
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
        for value in values:
            if not least <= value <= most:
                raise ValueError(f"{value} is no {datatype}")
    return np.array(values, dtype)


def _from_bytes(raw: bytes, datatype: str) -> NDArray[Any]:
    if datatype == BYTES:
        return np.array(_lengths_read(raw), object)
    flat = np.frombuffer(raw, DATATYPES[datatype].dtype)
    if datatype != BF16:
        return flat
    # The upper half of a float32 with the same value.
    return (flat.astype(np.uint32) << 16).view(np.float32)


def _upper_halves(array: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Each float32 as bfloat16, rounded to the nearest, ties to even; NaN stays one."""
    bits = np.ascontiguousarray(array).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(array), 0x7FC0, rounded).astype("<u2")


def _with_length(value: Any) -> bytes:
    text = value if isinstance(value, bytes) else str(value).encode()
    return struct.pack("<I", len(text)) + text


def _lengths_read(raw: bytes) -> list[bytes]:
    found, at = list[bytes](), 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        at += 4
        if at + length > len(raw):
            raise ValueError(f"a text of {length} bytes with {len(raw) - at} left")
        found.append(raw[at : at + length])
        at += length
    return found


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
