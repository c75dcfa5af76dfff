"""A server that speaks the open inference protocol, over onnxruntime, to try the target against."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np

from eais.rpc.inference import open_inference_pb2 as pb
from eais_client.load.targets.open_tensors import DATATYPES, to_bytes
from eais_client.load.targets.open_tensors import outputs_of as tensors_of

SERVICE: Final = "inference.GRPCInferenceService"
_DATATYPE_OF: Final = {known.onnx: name for name, known in DATATYPES.items()}


@dataclass(slots=True)
class Behaviour:
    """What the server is like; may be changed while it serves.

    Attributes:
        models: name -> file.
        typed: whether answers are in typed fields; else in raw ones.
        statistics: whether it has that extension.
        unready: names of models that aren't ready.
        fails_with: the status that each `ModelInfer` is answered with; None: it is run.
        refuses_with: the status of everything else.
        answers: bytes that each `ModelInfer` is answered with instead; None: it is run.
    """

    models: Mapping[str, Path]
    typed: bool = False
    statistics: bool = False
    unready: frozenset[str] = frozenset()
    fails_with: grpc.StatusCode | None = None
    refuses_with: grpc.StatusCode | None = None
    answers: bytes | None = None


@dataclass(slots=True)
class _Sums:
    """Of a model's runs."""

    runs: int = 0
    ns: int = 0


@dataclass(slots=True)
class _Servicer:
    behaviour: Behaviour
    sessions: dict[str, Any]
    sums: dict[str, _Sums] = field(default_factory=dict)

    def server_metadata(self, request: Any, context: grpc.ServicerContext) -> bytes:
        self._refuse(context)
        extensions = ["statistics"] if self.behaviour.statistics else []
        told = pb.ServerMetadataResponse(name="open", version="1.0", extensions=extensions)
        return told.SerializeToString()

    def model_ready(self, request: Any, context: grpc.ServicerContext) -> bytes:
        ready = request.name not in self.behaviour.unready
        return pb.ModelReadyResponse(ready=ready).SerializeToString()

    def model_metadata(self, request: Any, context: grpc.ServicerContext) -> bytes:
        self._refuse(context)
        session = self._session(request.name, context)
        told = pb.ModelMetadataResponse(name=request.name)
        for filled, args in (
            (told.inputs, session.get_inputs()),
            (told.outputs, _outputs(session)),
        ):
            for arg in args:
                shape = [size if isinstance(size, int) else -1 for size in arg.shape]
                filled.add(name=arg.name, datatype=_DATATYPE_OF[arg.type], shape=shape)
        return told.SerializeToString()

    def repository_index(self, request: Any, context: grpc.ServicerContext) -> bytes:
        told = pb.RepositoryIndexResponse()
        for name in self.sessions:
            told.models.add(name=name)
        return told.SerializeToString()

    def model_statistics(self, request: Any, context: grpc.ServicerContext) -> bytes:
        sums = self.sums.get(request.name, _Sums())
        told = pb.ModelStatisticsResponse()
        stats = told.model_stats.add(name=request.name, execution_count=sums.runs)
        stats.inference_stats.success.count = sums.runs
        stats.inference_stats.compute_infer.ns = sums.ns
        return told.SerializeToString()

    def model_infer(self, request: Any, context: grpc.ServicerContext) -> bytes:
        if self.behaviour.fails_with is not None:
            context.abort(self.behaviour.fails_with, "as its behaviour says")
        if self.behaviour.answers is not None:
            return self.behaviour.answers
        session = self._session(request.model_name, context)
        feeds = _feeds(request)
        began = time.perf_counter_ns()
        values = session.run(None, feeds)
        sums = self.sums.setdefault(request.model_name, _Sums())
        sums.runs, sums.ns = sums.runs + 1, sums.ns + time.perf_counter_ns() - began
        return self._answer(session, values).SerializeToString()

    def _answer(self, session: Any, values: list[Any]) -> pb.ModelInferResponse:
        answer = pb.ModelInferResponse()
        for arg, value in zip(_outputs(session), values, strict=True):
            datatype = _DATATYPE_OF[arg.type]
            output = answer.outputs.add(name=arg.name, datatype=datatype, shape=value.shape)
            if self.behaviour.typed:
                contents = getattr(output.contents, DATATYPES[datatype].contents)
                contents.extend(_typed(each) for each in value.ravel().tolist())
            else:
                answer.raw_output_contents.append(to_bytes(value, datatype))
        return answer

    def _refuse(self, context: grpc.ServicerContext) -> None:
        if self.behaviour.refuses_with is not None:
            context.abort(self.behaviour.refuses_with, "nobody is let in")

    def _session(self, name: str, context: grpc.ServicerContext) -> Any:
        if name not in self.sessions:
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model {name}")
        return self.sessions[name]


def _outputs(session: Any) -> list[Any]:
    """Those that the protocol has types for: no lists, and no maps."""
    return [arg for arg in session.get_outputs() if arg.type in _DATATYPE_OF]


def _typed(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _feeds(request: pb.ModelInferRequest) -> dict[str, Any]:
    """A request's tensors are an answer's, but for the names of the fields."""
    as_answer = pb.ModelInferResponse(raw_output_contents=request.raw_input_contents)
    for each in request.inputs:
        as_answer.outputs.add(name=each.name, datatype=each.datatype, shape=each.shape)
    names = [each.name for each in request.inputs]
    return dict(zip(names, map(np.array, tensors_of(as_answer, names)), strict=True))


@contextmanager
def open_protocol_server(
    behaviour: Behaviour, tls: tuple[bytes, bytes] | None = None
) -> Iterator[int]:
    """A server for the length of a block, on 127.0.0.1; its port.

    Args:
        tls: its key and certificate, in PEM; None: without TLS.
    """
    import onnxruntime

    sessions = {
        name: onnxruntime.InferenceSession(str(file)) for name, file in behaviour.models.items()
    }
    servicer = _Servicer(behaviour, sessions)
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(SERVICE, _methods(servicer))]
    )
    if tls is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([tls]))
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def _methods(servicer: _Servicer) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    found: dict[str, tuple[Callable[..., bytes], Any]] = {
        "ServerMetadata": (servicer.server_metadata, pb.ServerMetadataRequest),
        "ModelReady": (servicer.model_ready, pb.ModelReadyRequest),
        "ModelMetadata": (servicer.model_metadata, pb.ModelMetadataRequest),
        "RepositoryIndex": (servicer.repository_index, pb.RepositoryIndexRequest),
        "ModelStatistics": (servicer.model_statistics, pb.ModelStatisticsRequest),
        "ModelInfer": (servicer.model_infer, pb.ModelInferRequest),
    }
    return {
        name: grpc.unary_unary_rpc_method_handler(method, request.FromString)
        for name, (method, request) in found.items()
    }
