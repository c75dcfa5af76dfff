"""Which calls may run together at all: those of one kind. (Brain)

Calls of a kind have the same session, ask for the same outputs, and give the same inputs, of the
same types and shapes: then what was found of some of them holds for all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from eais.rpc.v1 import value_pb2
from eais.transport.parts import Buffer, RunPart, TensorPart
from eais.value import DTYPES

PLAIN: Final[Mapping[int, np.dtype[Any]]] = {
    kind: dtype for kind, dtype in DTYPES.items() if kind < value_pb2.ElementType.BFLOAT16
}
"""Element types whose tensors are put together: those that numpy has."""


class Input(NamedTuple):
    """An input: its name, `value_pb2.ElementType`, and dims, of which the first are its rows."""

    name: str
    type: int
    dims: tuple[int, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return math.prod(self.dims) * PLAIN[self.type].itemsize


class CallKind(NamedTuple):
    """What calls that run together have in common."""

    session: str
    outputs: tuple[str, ...]
    inputs: tuple[Input, ...]

    @property
    def rows(self) -> int:
        """Of each call."""
        return self.inputs[0].dims[0]

    @property
    def size(self) -> int:
        """Bytes of a call's inputs."""
        return sum(each.size for each in self.inputs)


def kind_of(
    run: RunPart, buffers: Sequence[Buffer], names: frozenset[str] | None
) -> CallKind | None:
    """The kind of a call; None: it has to run alone.

    Args:
        buffers: its deferred tensors.
        names: the inputs that its session takes rows by; None: its calls run alone.
    """
    if names is None or run.config_entries or run.tag or len(run.inputs) != len(names):
        return None
    inputs: list[Input] = []
    waiting = iter(buffers)
    for name, part in run.inputs:
        found = _input(name, part)
        if found is None or name not in names or found.dims[0] != _rows(inputs, found):
            return None
        data = next(waiting, b"") if part.deferred_bytes else part.raw
        if len(data) != found.size or part.strings:
            return None
        inputs.append(found)
    if len({each.name for each in inputs}) != len(names):
        return None
    return CallKind(run.session, tuple(run.outputs), tuple(inputs))


def _input(name: str, part: object) -> Input | None:
    if not isinstance(part, TensorPart) or part.type not in PLAIN:
        return None
    if not part.dims or min(part.dims) < 1:
        return None
    return Input(name, part.type, tuple(part.dims))


def _rows(inputs: Sequence[Input], first: Input) -> int:
    return inputs[0].dims[0] if inputs else first.dims[0]


def is_alike(run: RunPart, other: RunPart) -> bool:
    """Whether a call without deferred tensors is of the kind of `other`, that is of one."""
    if run.session != other.session or run.outputs != other.outputs or run.tag:
        return False
    if run.config_entries or len(run.inputs) != len(other.inputs):
        return False
    for (name, part), (same, like) in zip(run.inputs, other.inputs, strict=True):
        if name != same or type(part) is not TensorPart or part.strings or part.deferred_bytes:
            return False
        if (part.type, part.dims, len(part.raw)) != (like.type, like.dims, len(like.raw)):
            return False
    return True
