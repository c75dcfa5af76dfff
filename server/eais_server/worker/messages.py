"""Between the wire's messages and what a device driver sees: the worker's edge."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from eais.rpc.status import clip
from eais.rpc.v1 import listener_pb2, supervision_pb2, value_pb2
from eais_server.devices.driver import (
    ModelSource,
    SessionSettings,
    SessionSignature,
    ValueSpec,
)
from eais_server.worker.choosing_runtime import Choice

MODEL_FILE = "model.onnx"


def model_source(spec: listener_pb2.SessionSpec, folder: Path) -> ModelSource:
    """Where the listener linked the spec's files."""
    manifest = {file.location: file.size for file in spec.files[1:]}
    return ModelSource(folder / MODEL_FILE, manifest, spec.from_path)


def session_settings(options: listener_pb2.SessionOptions) -> SessionSettings:
    """The caller's options; onnxruntime's own defaults where they say nothing."""
    given = options.HasField("graph_optimization_level")
    return SessionSettings(
        graph_optimization_level=options.graph_optimization_level if given else 99,
        execution_mode=options.execution_mode,
        config_entries=dict(options.config_entries),
        free_dimensions_by_name=dict(options.free_dimension_overrides_by_name),
        free_dimensions_by_denotation=dict(options.free_dimension_overrides_by_denotation),
        mem_pattern=not options.disable_mem_pattern,
        cpu_mem_arena=not options.disable_cpu_mem_arena,
        deterministic_compute=options.use_deterministic_compute,
    )


def signature_message(signature: SessionSignature) -> listener_pb2.Signature:
    """What a session takes and gives, for the wire."""
    model = signature.model
    return listener_pb2.Signature(
        inputs=_infos(signature.inputs),
        outputs=_infos(signature.outputs),
        overridable_initializers=_infos(signature.overridable_initializers),
        metadata=listener_pb2.ModelMetadata(
            producer_name=model.producer_name,
            graph_name=model.graph_name,
            domain=model.domain,
            description=model.description,
            graph_description=model.graph_description,
            version=model.version,
            custom_metadata=dict(model.custom_metadata),
        ),
        providers=signature.providers,
    )


def runs_message(session: str, choice: Choice) -> supervision_pb2.Runs:
    """What runs a session, for the listener."""
    unused = (
        listener_pb2.UnusedRuntime(runtime=str(runtime), why=clip(why))
        for runtime, why in choice.unused
    )
    return supervision_pb2.Runs(session=session, runtime=str(choice.runtime), unused=unused)


def _infos(specs: Iterable[ValueSpec]) -> list[value_pb2.ValueInfo]:
    return [
        value_pb2.ValueInfo(name=s.name, type=s.type, dims=[_dimension(d) for d in s.dims])
        for s in specs
    ]


def _dimension(dim: int | str | None) -> value_pb2.Dimension:
    if dim is None:
        return value_pb2.Dimension()
    if isinstance(dim, str):
        return value_pb2.Dimension(symbol=dim)
    return value_pb2.Dimension(size=dim)
