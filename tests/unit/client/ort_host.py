"""onnxruntime behind a `FakeWire`: what listener and worker answer, without their processes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from eais.rpc.v1 import listener_pb2, value_pb2, worker_pb2
from eais.value import Value
from eais_server.runtime.failures import load_failure, run_failure

PLACE = Path("/place/of/the/model.onnx")


class OrtHost:
    """A `FakeHost` that keeps one onnxruntime session for each model."""

    def __init__(self) -> None:
        self._sessions: dict[bytes, Any] = {}
        self.specs: list[listener_pb2.SessionSpec] = []

    def load(
        self, files: Mapping[str, bytes], spec: listener_pb2.SessionSpec
    ) -> listener_pb2.Signature:
        """See `FakeHost`."""
        self.specs.append(spec)
        try:
            session = self._loaded(files[""])
        except Exception as error:  # noqa: BLE001 - onnxruntime's have no base of their own
            raise load_failure(_worded(error, spec.from_path), PLACE) from None
        meta = session.get_modelmeta()
        return listener_pb2.Signature(
            inputs=map(_info, session.get_inputs()),
            outputs=map(_info, session.get_outputs()),
            overridable_initializers=map(_info, session.get_overridable_initializers()),
            metadata=listener_pb2.ModelMetadata(
                producer_name=meta.producer_name,
                graph_name=meta.graph_name,
                domain=meta.domain,
                description=meta.description,
                graph_description=meta.graph_description,
                version=meta.version,
                custom_metadata=meta.custom_metadata_map,
            ),
            providers=session.get_providers(),
        )

    def run(
        self, files: Mapping[str, bytes], inputs: Mapping[str, Value], run: worker_pb2.Run
    ) -> list[Value]:
        """See `FakeHost`."""
        session = self._loaded(files[""])
        outputs = list(run.outputs) or [arg.name for arg in session.get_outputs()]
        try:
            return list(session.run(outputs, dict(inputs)))
        except Exception as error:  # noqa: BLE001 - as above
            raise run_failure(error) from None

    def _loaded(self, model: bytes) -> Any:
        if model not in self._sessions:
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 4
            # From a path, as a worker does.
            self._sessions[model] = ort.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[model]


def _worded(error: Exception, from_path: bool) -> Exception:
    """What onnxruntime would have said had it read the bytes from a file."""
    if not from_path:
        return error
    text = str(error).replace(
        "Failed to load model because protobuf parsing failed.",
        f"Load model from {PLACE} failed:Protobuf parsing failed.",
    )
    text = text.replace("No graph was", f"Load model from {PLACE} failed:No graph was")
    return type(error)(text)


def _info(arg: Any) -> value_pb2.ValueInfo:
    dims = []
    for size in arg.shape:
        dim = value_pb2.Dimension()
        if isinstance(size, int):
            dim.size = size
        elif size is not None:
            dim.symbol = size
        dims.append(dim)
    return value_pb2.ValueInfo(name=arg.name, type=arg.type, dims=dims)
