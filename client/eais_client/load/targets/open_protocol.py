"""Servers of the open inference protocol as targets, by gRPC: KServe, Triton, MLServer, ..."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
import grpc.aio

from eais.errors import EaisError, UsageError, make_error
from eais.rpc.inference import open_inference_pb2 as pb
from eais_client.load.brain.plan import ModelLoad
from eais_client.load.target import Feeds, RequestFailed, ServerTimes, Split, TargetSpec
from eais_client.load.targets.open_tensors import DATATYPES, argument, outputs_of, to_bytes
from eais_client.signature import Signature

SERVICE: Final = "inference.GRPCInferenceService"
_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
)
_REPLIES: Final[Mapping[str, Any]] = {
    "ServerReady": pb.ServerReadyResponse,
    "ModelReady": pb.ModelReadyResponse,
    "ServerMetadata": pb.ServerMetadataResponse,
    "ModelMetadata": pb.ModelMetadataResponse,
    "ModelInfer": pb.ModelInferResponse,
    "ModelStatistics": pb.ModelStatisticsResponse,
    "RepositoryIndex": pb.RepositoryIndexResponse,
}
_ASK_S: Final = 10.0
"""For what isn't a model's run."""
_TEXT_CHARS: Final = 200
MOST_CHANNELS: Final = 64
_REFUSALS: Final = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
"""What says nothing of whether there is such a model."""


class OpenProtocolTarget:
    """A server; `place` is grpc://HOST:PORT, or grpcs:// for TLS.

    Settings: `tls_ca`, `tls_cert` and `tls_key`, files in PEM; `channels`, how many connections
    calls are spread over, 1 without it.
    """

    def __init__(self, spec: TargetSpec) -> None:
        self._spec = spec
        self._address, self._credentials = _address(spec), _credentials(spec)
        count = spec.settings.get("channels", "1")
        if not count.isdecimal() or not 0 < int(count) <= MOST_CHANNELS:
            text = f"channels={count}: not a number of connections, 1 to {MOST_CHANNELS}"
            raise UsageError("ARGUMENT", text)
        self._channels = [self._channel() for _ in range(int(count))]
        self._async_channels: list[grpc.aio.Channel] = []
        try:
            self._server = self._asked_who_it_is()
        except EaisError:
            self.close()
            raise

    def open(self, model: ModelLoad, timeout_s: float) -> OpenProtocolCaller:
        """Look the model up.

        Raises NOT_FOUND with what there is, if the server tells; HOST_UNREACHABLE.
        """
        about = self._asked("ModelMetadata", pb.ModelMetadataRequest(name=model.name), model.name)
        if not self._asked("ModelReady", pb.ModelReadyRequest(name=model.name), model.name).ready:
            text = f"{self._spec.name}: the model {model.name!r} isn't ready to be called"
            raise make_error("BUSY", text, hint="try again when it is loaded")
        calls = itertools.cycle([self.method(each, "ModelInfer") for each in self._channels])
        return OpenProtocolCaller(model.name, about, calls, self._async_call)

    def about(self) -> Mapping[str, str]:
        """The server's name and version, and whether it is reached by TLS."""
        return {
            "server": self._server.name,
            "version": self._server.version,
            "tls": "no" if self._credentials is None else "yes",
        }

    def server_times(self, model: ModelLoad) -> ServerTimes | None:
        """What `ModelStatistics` says; None if the server has no such extension."""
        if "statistics" not in self._server.extensions:
            return None
        request = pb.ModelStatisticsRequest(name=model.name)
        times = ServerTimes()
        for each in self._asked("ModelStatistics", request, model.name).model_stats:
            times = _added(times, each)
        return times

    def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            channel.close()

    def method(self, channel: Any, name: str) -> Callable[..., Any]:
        """A method of the server, on a channel."""
        call: Callable[..., Any] = channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=_REPLIES[name].FromString,
        )
        return call

    def _channel(self) -> grpc.Channel:
        if self._credentials is None:
            return grpc.insecure_channel(self._address, _OPTIONS)
        return grpc.secure_channel(self._address, self._credentials, _OPTIONS)

    def _async_call(self) -> Callable[..., Any]:
        """`ModelInfer` for the event loop that runs, on as many connections."""
        channels = [self._async_channel() for _ in self._channels]
        self._async_channels += channels
        calls = itertools.cycle([self.method(each, "ModelInfer") for each in channels])
        return lambda request, timeout: next(calls)(request, timeout=timeout)

    def _async_channel(self) -> grpc.aio.Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._address, _OPTIONS)
        return grpc.aio.secure_channel(self._address, self._credentials, _OPTIONS)

    def _asked_who_it_is(self) -> pb.ServerMetadataResponse:
        found = self._asked("ServerMetadata", pb.ServerMetadataRequest(), "")
        assert isinstance(found, pb.ServerMetadataResponse)
        return found

    def _asked(self, method: str, request: Any, model: str) -> Any:
        try:
            return self.method(self._channels[0], method)(request, timeout=_ASK_S)
        except grpc.RpcError as error:
            raise self._explained(method, model, error) from None

    def _explained(self, method: str, model: str, error: Any) -> EaisError:
        """What hinders a question at the server, for people."""
        name, code, said = self._spec.name, error.code(), str(error.details())[:_TEXT_CHARS]
        if code is grpc.StatusCode.UNIMPLEMENTED and not model:
            text = f"{name} doesn't speak the open inference protocol: {said}"
            return UsageError("ARGUMENT", text, hint="its gRPC port, not that of HTTP or metrics?")
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            hint = "is it up, on this port? grpcs:// speaks TLS, grpc:// doesn't"
            return make_error("HOST_UNREACHABLE", f"{name} doesn't answer: {said}", hint=hint)
        if method == "ModelMetadata" and code not in _REFUSALS:
            there = ", ".join(self._models())
            hint = f"there are {there}" if there else "--model is its name at the server"
            text = f"{name}: no model {model!r}: {said}"
            return UsageError("NOT_FOUND", text, hint=hint)
        return make_error("RUN_FAILED", f"{name}: {method}: {code.name}: {said}")

    def _models(self) -> list[str]:
        with contextlib.suppress(grpc.RpcError):
            ask = self.method(self._channels[0], "RepositoryIndex")
            return [each.name for each in ask(pb.RepositoryIndexRequest(), timeout=_ASK_S).models]
        return []


class OpenProtocolCaller:
    """A model of a server."""

    def __init__(
        self,
        name: str,
        about: pb.ModelMetadataResponse,
        calls: Iterator[Callable[..., Any]],
        make_async: Callable[[], Callable[..., Any]],
    ) -> None:
        self._name = name
        self._inputs = [(each.name, each.datatype) for each in about.inputs]
        self._outputs = [each.name for each in about.outputs]
        self._calls = calls
        self._make_async = make_async
        self._async: Callable[..., Any] | None = None
        self.signature = Signature(
            tuple(argument(each.name, each.datatype, each.shape) for each in about.inputs),
            tuple(argument(each.name, each.datatype, each.shape) for each in about.outputs),
        )
        if unknown := [kind for _, kind in self._inputs if kind not in DATATYPES]:
            text = f"{name}: an input is of datatype {unknown[0]}, which isn't known"
            raise UsageError("ARGUMENT", text)

    def call(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """One `ModelInfer`; raises `RequestFailed` with gRPC's status."""
        try:
            answer = next(self._calls)(self._request(feeds), timeout=timeout_s)
        except grpc.RpcError as error:
            raise _failed(error) from None
        return outputs_of(answer, self._outputs)

    async def call_async(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """As `call`."""
        if self._async is None:
            self._async = self._make_async()
        try:
            answer = await self._async(self._request(feeds), timeout=timeout_s)
        except grpc.RpcError as error:
            raise _failed(error) from None
        if answer is None:  # grpc.aio's word for bytes that are no such message
            raise RequestFailed("MALFORMED_ANSWER", "the answer is no ModelInferResponse")
        return outputs_of(answer, self._outputs)

    def last_split(self) -> Split | None:
        """A server's answer doesn't say; `server_times` may."""
        return None

    def _request(self, feeds: Feeds) -> pb.ModelInferRequest:
        request = pb.ModelInferRequest(model_name=self._name)
        for name, datatype in self._inputs:
            array = feeds[name]
            request.inputs.add(name=name, datatype=datatype, shape=array.shape)
            request.raw_input_contents.append(to_bytes(array, datatype))
        return request


def _failed(error: Any) -> RequestFailed:
    return RequestFailed(error.code().name, str(error.details())[:_TEXT_CHARS])


def _address(spec: TargetSpec) -> str:
    try:
        found = urlsplit(spec.place)
        right = found.scheme in ("grpc", "grpcs") and bool(found.hostname) and bool(found.port)
        right = right and not found.path.strip("/")
    except ValueError:  # a port that is no number, or too high; brackets that don't close
        right = False
    if not right:
        text = f"--server {spec.place}: not as grpc://HOST:PORT, or grpcs:// for TLS"
        raise UsageError("ARGUMENT", text)
    return spec.place.rpartition("://")[2].rstrip("/")


def _credentials(spec: TargetSpec) -> grpc.ChannelCredentials | None:
    if not spec.place.startswith("grpcs://"):
        if given := [key for key in spec.settings if key.startswith("tls_")]:
            text = f"{given[0]} is of no use with grpc://"
            raise UsageError("ARGUMENT", text, hint="grpcs:// speaks TLS")
        return None
    ca, key, cert = (_pem(spec, name) for name in ("tls_ca", "tls_key", "tls_cert"))
    if (key is None) != (cert is None):
        raise UsageError("ARGUMENT", "tls_cert and tls_key are of use together only")
    return grpc.ssl_channel_credentials(ca, key, cert)


def _pem(spec: TargetSpec, key: str) -> bytes | None:
    file = spec.settings.get(key)
    if file is None:
        return None
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        raise UsageError("ARGUMENT", f"{key}={file}: {error.strerror}") from None
    if b"-----BEGIN " not in content:
        raise UsageError("ARGUMENT", f"{key}={file}: nothing in PEM is in it")
    return content


def _added(times: ServerTimes, one: pb.ModelStatistics) -> ServerTimes:
    """With those of one of the model's versions."""
    stats = one.inference_stats
    return ServerTimes(
        times.requests + stats.success.count,
        times.executions + one.execution_count,
        times.queue_s + stats.queue.ns / 1e9,
        times.compute_input_s + stats.compute_input.ns / 1e9,
        times.compute_s + stats.compute_infer.ns / 1e9,
        times.compute_output_s + stats.compute_output.ns / 1e9,
    )
