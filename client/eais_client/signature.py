"""What a session says of itself: its inputs, outputs, metadata and providers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eais.rpc.v1 import listener_pb2, value_pb2


@dataclass(frozen=True, slots=True)
class NodeArg:
    """An input or output as the model declares it; onnxruntime's `NodeArg`.

    Attributes:
        name: its name.
        shape: for each axis a size, a symbol's name, or None when it is unknown.
        type: as onnxruntime writes it, "tensor(float)", "seq(map(int64,tensor(float)))".
    """

    name: str
    shape: list[int | str | None]
    type: str

    def __str__(self) -> str:
        return f"NodeArg(name={self.name!r}, type={self.type!r}, shape={self.shape!r})"


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What the model's maker wrote into it; onnxruntime's `ModelMetadata`."""

    producer_name: str = ""
    graph_name: str = ""
    domain: str = ""
    description: str = ""
    graph_description: str = ""
    version: int = 0
    custom_metadata_map: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Signature:
    """All that a loaded session says of itself."""

    inputs: tuple[NodeArg, ...] = ()
    outputs: tuple[NodeArg, ...] = ()
    overridable_initializers: tuple[NodeArg, ...] = ()
    metadata: ModelMetadata = field(default_factory=ModelMetadata)
    providers: tuple[str, ...] = ()

    @classmethod
    def of_message(cls, message: listener_pb2.Signature) -> Signature:
        """The signature that the wire describes."""
        return cls(
            inputs=_args(message.inputs),
            outputs=_args(message.outputs),
            overridable_initializers=_args(message.overridable_initializers),
            metadata=_metadata(message.metadata),
            providers=tuple(message.providers),
        )


def _args(messages: Iterable[value_pb2.ValueInfo]) -> tuple[NodeArg, ...]:
    return tuple(NodeArg(m.name, [_axis(dim) for dim in m.dims], m.type) for m in messages)


def _axis(dim: value_pb2.Dimension) -> int | str | None:
    kind = dim.WhichOneof("kind")
    if kind is None:
        return None
    return dim.size if kind == "size" else dim.symbol


def _metadata(message: listener_pb2.ModelMetadata) -> ModelMetadata:
    return ModelMetadata(
        producer_name=message.producer_name,
        graph_name=message.graph_name,
        domain=message.domain,
        description=message.description,
        graph_description=message.graph_description,
        version=message.version,
        custom_metadata_map=dict(message.custom_metadata),
    )
