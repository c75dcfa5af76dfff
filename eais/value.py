"""What a session takes and gives: its types, and the limits of one call's tensors.

Element types that numpy itself lacks (bfloat16, float8) are arrays of the unsigned integers of
the same width; `RawTensor` says what they are. `eais.transport` puts values on the wire.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from eais.channel import INLINE_BYTES, INLINE_TENSOR_BYTES, PIECE_BYTES
from eais.rpc.v1 import value_pb2

Array: TypeAlias = npt.NDArray[Any]
#: What a session takes and gives: an array, a list of values, a dict of scalars, None.
Value: TypeAlias = Any

_T = value_pb2.ElementType

MAX_DIMS: Final = 64
MAX_ELEMENTS: Final = 1 << 48
MAX_DEPTH: Final = 8

#: Elements' numpy types, by `value_pb2.ElementType`.
DTYPES: Final[Mapping[int, np.dtype[Any]]] = {
    _T.FLOAT: np.dtype("<f4"),
    _T.UINT8: np.dtype("u1"),
    _T.INT8: np.dtype("i1"),
    _T.UINT16: np.dtype("<u2"),
    _T.INT16: np.dtype("<i2"),
    _T.INT32: np.dtype("<i4"),
    _T.INT64: np.dtype("<i8"),
    _T.BOOL: np.dtype("?"),
    _T.FLOAT16: np.dtype("<f2"),
    _T.DOUBLE: np.dtype("<f8"),
    _T.UINT32: np.dtype("<u4"),
    _T.UINT64: np.dtype("<u8"),
    _T.COMPLEX64: np.dtype("<c8"),
    _T.COMPLEX128: np.dtype("<c16"),
    _T.BFLOAT16: np.dtype("<u2"),
    _T.FLOAT8E4M3FN: np.dtype("u1"),
    _T.FLOAT8E4M3FNUZ: np.dtype("u1"),
    _T.FLOAT8E5M2: np.dtype("u1"),
    _T.FLOAT8E5M2FNUZ: np.dtype("u1"),
}
#: The other way round, for what numpy has.
TYPE_OF: Final[Mapping[np.dtype[Any], int]] = {
    dtype: kind for kind, dtype in reversed(list(DTYPES.items()))
}


@dataclass(frozen=True, slots=True)
class RawTensor:
    """A tensor of an element type that numpy lacks.

    Attributes:
        element_type: its number in ONNX's TensorProto.DataType.
        bits: the elements' bits in unsigned integers of their width, in the tensor's shape.
    """

    element_type: int
    bits: Any


@dataclass(init=False, slots=True)
class Deferred:
    """Tensor bytes that follow a message, in the order in which it names them.

    Attributes:
        inline_limit: a tensor of at most so many bytes goes into the message,
        inline_left: as long as all of them together are at most so many.
        buffers: the bytes of the others.
    """

    inline_limit: int
    inline_left: int
    buffers: list[memoryview]

    # Less than half the time of what the decorator writes, and each call and answer makes one.
    def __init__(
        self,
        inline_limit: int = INLINE_TENSOR_BYTES,
        inline_left: int = INLINE_BYTES,
        buffers: list[memoryview] | None = None,
    ) -> None:
        self.inline_limit = inline_limit
        self.inline_left = inline_left
        self.buffers = [] if buffers is None else buffers

    def pieces(self, most: int = PIECE_BYTES) -> Iterator[tuple[int, int, memoryview]]:
        """(tensor, offset, bytes) in order, each of at most `most` bytes."""
        for index, buffer in enumerate(self.buffers):
            for offset in range(0, len(buffer), most):
                yield index, offset, buffer[offset : offset + most]
