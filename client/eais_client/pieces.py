"""Large tensors of an answer, put together from the pieces that follow it."""

from __future__ import annotations

from typing import Final

import numpy as np

from eais.errors import UsageError, make_error
from eais.transport.parts import AnswerPart, PiecePart, TensorPart
from eais.transport.tensors import checked_size, deferred_tensors
from eais_client.wire import Incoming

MAX_ANSWER_BYTES: Final = 4 << 30
"""Of the large tensors of one answer: as much as a worker takes of inputs."""


class Assembly:
    """An answer of which pieces are still to come. What is announced takes memory as it comes.

    Pieces must come in order for each tensor, without gap or overlap; `UsageError`
    MALFORMED_MESSAGE otherwise. `RemoteError` OUTPUT_TOO_LARGE if more than `limit` bytes are
    announced.
    """

    def __init__(self, answer: AnswerPart, limit: int = MAX_ANSWER_BYTES) -> None:
        self._answer = answer
        self._sizes = deferred_sizes(answer)
        self._missing = sum(self._sizes)
        if self._missing > limit:
            text = f"the answer has {self._missing} bytes; at most {limit} are taken"
            raise make_error("OUTPUT_TOO_LARGE", text, metadata={"limit": str(limit)})
        # Not bytearrays: those are filled with zeros first.
        self._buffers = [np.empty(size, np.uint8).data for size in self._sizes]
        self._filled = [0] * len(self._sizes)

    def add(self, piece: PiecePart) -> None:
        """Take the next piece of one of its tensors."""
        if piece.tensor >= len(self._buffers):
            raise UsageError("MALFORMED_MESSAGE", f"the answer has no tensor {piece.tensor}")
        start = self._filled[piece.tensor]
        end = start + len(piece.data)
        if piece.offset != start or not piece.data or end > self._sizes[piece.tensor]:
            raise UsageError("MALFORMED_MESSAGE", "the pieces of an answer don't follow each other")
        self._buffers[piece.tensor][start:end] = piece.data
        self._filled[piece.tensor] = end
        self._missing -= len(piece.data)

    def whole(self) -> Incoming | None:
        """The answer, once all its pieces are there."""
        return None if self._missing else Incoming(self._answer, self._buffers)


def is_whole(answer: AnswerPart) -> bool:
    """Whether no piece follows the answer, as far as a glance tells."""
    for value in answer.outputs:
        if type(value) is not TensorPart or value.deferred_bytes:
            return False
    return True


def deferred_sizes(answer: AnswerPart) -> list[int]:
    """Bytes of each tensor that follows, in wire order, checked against its dims."""
    sizes = []
    for value in answer.outputs:
        for tensor in deferred_tensors(value):
            checked_size(tensor)
            sizes.append(tensor.deferred_bytes)
    return sizes
