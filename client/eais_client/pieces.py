"""Large tensors of an answer, put together from the pieces that follow it."""

from __future__ import annotations

from collections.abc import Sequence

from eais.errors import UsageError
from eais.rpc.v1 import worker_pb2
from eais.value import checked_size, deferred_tensors
from eais_client.wire import Incoming


class Assembly:
    """An answer of which pieces are still to come.

    Pieces must come in order for each tensor, without gap or overlap; `UsageError`
    MALFORMED_MESSAGE otherwise.
    """

    def __init__(self, answer: worker_pb2.Answer) -> None:
        self._answer = answer
        self._buffers = [bytearray(size) for size in deferred_sizes(answer)]
        self._filled = [0] * len(self._buffers)

    def add(self, piece: worker_pb2.Piece) -> None:
        """Take the next piece of one of its tensors."""
        if piece.tensor >= len(self._buffers):
            raise UsageError("MALFORMED_MESSAGE", f"the answer has no tensor {piece.tensor}")
        buffer, start = self._buffers[piece.tensor], self._filled[piece.tensor]
        end = start + len(piece.data)
        if piece.offset != start or not piece.data or end > len(buffer):
            raise UsageError("MALFORMED_MESSAGE", "the pieces of an answer don't follow each other")
        buffer[start:end] = piece.data
        self._filled[piece.tensor] = end

    def whole(self) -> Incoming | None:
        """The answer, once all its pieces are there."""
        if any(
            done < len(buffer) for done, buffer in zip(self._filled, self._buffers, strict=True)
        ):
            return None
        return Incoming(self._answer, self._buffers)


def deferred_sizes(answer: worker_pb2.Answer) -> Sequence[int]:
    """Bytes of each tensor that follows, in wire order, checked against its dims."""
    sizes = []
    for value in answer.outputs:
        for tensor in deferred_tensors(value):
            checked_size(tensor)
            sizes.append(tensor.deferred_bytes)
    return sizes
