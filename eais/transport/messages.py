"""Parts of what the generated classes parse: the way of whatever isn't written as we write it.

The generated classes know all that protobuf allows: fields in any order, given twice, unknown.
(Brain)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from math import inf
from typing import Final, TypeVar

from eais.rpc.v1 import value_pb2, worker_pb2
from eais.transport.parts import (
    AnswerPart,
    MapPart,
    PiecePart,
    RunPart,
    SequencePart,
    TensorPart,
    ToClientParts,
    ToWorkerParts,
    ValuePart,
)
from eais.value import MAX_DIMS

MAX_VALUES: Final = 1 << 16
"""Of a call's inputs, sequences and what is in them: a worker looks at each, and refuses more."""

_Item = TypeVar("_Item")


def to_worker_parts(message: worker_pb2.ToWorker) -> ToWorkerParts:
    """A message to a worker."""
    return ToWorkerParts(
        hello=message.hello if message.HasField("hello") else None,
        runs=[run_part(run) for run in message.runs],
        pieces=[piece_part(piece) for piece in message.pieces],
        cancels=[cancel.call_id for cancel in message.cancels],
        hold=list(message.hold),
        release=list(message.release),
        ring_wanted=message.ring_wanted,
        ring_begins=message.ring_begins,
    )


def to_client_parts(message: worker_pb2.ToClient) -> ToClientParts:
    """A message to a client."""
    return ToClientParts(
        hello=message.hello if message.HasField("hello") else None,
        answers=[answer_part(answer) for answer in message.answers],
        pieces=[piece_part(piece) for piece in message.pieces],
        draining=message.draining,
        ring_offer=message.ring_offer if message.HasField("ring_offer") else None,
        ring_begins=message.ring_begins,
    )


def run_part(run: worker_pb2.Run) -> RunPart:
    """One call; of its inputs' values no more than `MAX_VALUES` and one, of its options as many.

    That is enough to see that there are too many.
    """
    budget = _Budget(MAX_VALUES + 1)
    return RunPart(
        call_id=run.call_id,
        instance=run.instance,
        epoch=run.epoch,
        session=run.session,
        inputs=[
            (named.name, value_part(named.value, budget)) for named in budget.limited(run.inputs)
        ],
        outputs=tuple(run.outputs),
        timeout_us=run.timeout_us,
        config_entries=dict(islice(run.options.config_entries.items(), MAX_VALUES + 1)),
        tag=run.options.tag,
        traceparent=run.traceparent,
        tracestate=run.tracestate,
        size=run.ByteSize(),
    )


def answer_part(answer: worker_pb2.Answer) -> AnswerPart:
    """One answer."""
    account = answer.account
    return AnswerPart(
        call_id=answer.call_id,
        error=answer.error if answer.HasField("error") else None,
        outputs=[value_part(value) for value in answer.outputs],
        queue_ns=account.queue_ns,
        compute_ns=account.compute_ns,
        batch_size=account.batch_size,
        input_bytes=account.input_bytes,
        output_bytes=account.output_bytes,
        size=answer.ByteSize(),
    )


def piece_part(piece: worker_pb2.Piece) -> PiecePart:
    """One piece."""
    return PiecePart(piece.call_id, piece.tensor, piece.offset, piece.data)


class _Budget:
    """How many values are still made."""

    def __init__(self, left: float) -> None:
        self._left = left

    def limited(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """`items`, until nothing is left."""
        for item in items:
            if self._left <= 0:
                return
            self._left -= 1
            yield item


_NO_BOUND: Final = _Budget(inf)


def value_part(value: value_pb2.Value, budget: _Budget = _NO_BOUND) -> ValuePart:
    """A value; None for one that is absent, or of no kind."""
    match value.WhichOneof("kind"):
        case "tensor":
            return tensor_part(value.tensor)
        case "sequence":
            return SequencePart(
                [value_part(part, budget) for part in budget.limited(value.sequence.values)]
            )
        case "map":
            return MapPart(tensor_part(value.map.keys), tensor_part(value.map.values))
        case _:
            return None


def tensor_part(tensor: value_pb2.Tensor) -> TensorPart:
    """A tensor."""
    return TensorPart(
        type=int(tensor.type),
        # One more than is legal tells.
        dims=tuple(tensor.dims[: MAX_DIMS + 1]),
        raw=tensor.raw,
        deferred_bytes=tensor.deferred_bytes,
        strings=list(tensor.strings) or (),
    )
