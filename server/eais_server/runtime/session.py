"""A model in onnxruntime, checked before onnxruntime sees it."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from eais.errors import ModelRejected
from eais.onnx_external import ModelScan, check_references, scan_model
from eais.onnx_wire import Buffer
from eais.value import RawTensor
from eais_server.devices.driver import (
    ModelInfo,
    ModelSource,
    RunSettings,
    SessionSettings,
    SessionSignature,
    ValueSpec,
)
from eais_server.runtime.failures import (
    begin_of_text,
    load_failure,
    run_failure,
    unreadable_model,
)
from eais_server.runtime.inlining import inline
from eais_server.runtime.inputs import about
from eais_server.runtime.operators import check_ops
from eais_server.runtime.options import EXTERNAL_FOLDER, run_options, session_options
from eais_server.runtime.providers import CPU, Provider

# onnxruntime prints what it thinks of the host's devices when it starts.
ort.set_default_logger_severity(4)
ort.disable_telemetry_events()

# What no protobuf parser reads: onnxruntime would say so, and is not asked.
_UNREADABLE: Final = frozenset({"MODEL_PARSE", "MODEL_INVALID"})
_ORT_FORMAT: Final = b"ORTM"

# Types that numpy lacks: onnxruntime's word -> (number in TensorProto.DataType, bits).
_EXTENDED: Final[Mapping[str, tuple[int, Any]]] = {
    "tensor(bfloat16)": (16, np.uint16),
    "tensor(float8e4m3fn)": (17, np.uint8),
    "tensor(float8e4m3fnuz)": (18, np.uint8),
    "tensor(float8e5m2)": (19, np.uint8),
    "tensor(float8e5m2fnuz)": (20, np.uint8),
}


def open_session(
    model: ModelSource, settings: SessionSettings, threads: int, provider: Provider = CPU
) -> OrtSession:
    """Check a model, then load it onto `threads` threads of the CPU, and a device of `provider`.

    Raises:
        ModelRejected: MODEL_PARSE, EXTERNAL_DATA_…, OP_REFUSED, OPTION_REFUSED before
            onnxruntime saw it; else onnxruntime's own words, with MODEL_INVALID,
            OPSET_UNSUPPORTED, OP_REFUSED or MODEL_MEMORY; MODEL_TOO_LARGE as `inline`;
            RUNTIME_REFUSED for what another provider than the CPU's doesn't load.
    """
    scan = check_model(model)
    options = session_options(settings, threads)
    source = _source(model, scan)
    if isinstance(source, bytes):
        options.add_session_config_entry(EXTERNAL_FOLDER, str(model.path.parent))
    try:
        chosen = provider.chosen(options)
        # Else onnxruntime would print what another provider refuses, and take the CPU's.
        session = ort.InferenceSession(source, options, providers=chosen, enable_fallback=0)
    except Exception as error:  # noqa: BLE001 - onnxruntime's classes have no base of their own
        raise provider.refusal(load_failure(error, model.path)) from None
    provider.check_taken(session.get_providers())
    # Else it keeps the model's bytes, for another choice of providers, which nobody makes.
    session._model_bytes = None
    return OrtSession(session)


def _source(model: ModelSource, scan: ModelScan) -> str | bytes:
    """What onnxruntime is given."""
    if scan.references:
        with _mapped(model.path) as data:
            whole = inline(model.path, data)
        if whole is not None:
            return whole
    return str(model.path) if model.from_path else model.path.read_bytes()


def check_model(model: ModelSource) -> ModelScan:
    """Refuse what a runtime must not see: foreign files, code, another format.

    Raises:
        ModelRejected: MODEL_PARSE in onnxruntime's words, EXTERNAL_DATA_REFUSED,
            EXTERNAL_DATA_BOUNDS, OP_REFUSED, MODEL_INVALID.
    """
    with _mapped(model.path) as data:
        if bytes(data[4:8]) == _ORT_FORMAT:
            raise ModelRejected(
                "OP_REFUSED",
                "an ONNX model is wanted, not one in ORT format",
                metadata={"op": "ORT format"},
            )
        try:
            scan = scan_model(data)
        except ModelRejected as error:
            if error.reason not in _UNREADABLE:
                raise
            raise unreadable_model(error.reason, model.from_path) from None
    check_references(scan.references, model.manifest)
    check_ops(scan, begin_of_text(model.from_path))
    return scan


@contextmanager
def _mapped(path: Path) -> Iterator[Buffer]:
    with path.open("rb") as file:
        if not path.stat().st_size:
            yield b""
            return
        # The view is let go before the map is closed; an exception that holds it would not.
        with (
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            yield view


class OrtSession:
    """An onnxruntime session as a `RuntimeSession`. Any thread may prepare and run."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._direct: Any = session._sess
        self._signature = _signature(session)
        self._extended = {o.name for o in self._signature.outputs if o.type in _EXTENDED}
        self._inputs = {i.name for i in self._signature.inputs}
        self._outputs = [o.name for o in self._signature.outputs]
        # Nothing of what onnxruntime's Python does around a run is needed for most.
        self._plain = self._extended.isdisjoint(self._outputs) and not any(
            i.type in _EXTENDED for i in self._signature.inputs
        )

    @property
    def signature(self) -> SessionSignature:
        """What it takes and gives, as onnxruntime reports it."""
        return self._signature

    def prepare(self, settings: RunSettings) -> OrtRun:
        """See `RuntimeSession`."""
        return OrtRun(self, run_options(settings))

    def run(self, outputs: Sequence[str], feed: Mapping[str, Any], options: ort.RunOptions) -> Any:
        """Outputs in the order asked for, all for none. Raises what onnxruntime raises."""
        plain = self._plain and feed.keys() == self._inputs
        if plain and RawTensor not in map(type, feed.values()):
            return self._direct.run(outputs or self._outputs, feed, options)
        given = {name: _ort_value(value) for name, value in feed.items()}
        wanted = outputs or [output.name for output in self._signature.outputs]
        if self._extended.isdisjoint(wanted):
            return self._session.run(list(outputs) or None, given, options)
        values = {name: _as_ort_value(value) for name, value in given.items()}
        found = self._session.run_with_ort_values(list(outputs) or None, values, options)
        return [_raw(value) if value.data_type() in _EXTENDED else value.numpy() for value in found]


class OrtRun:
    """One run of an `OrtSession`, as a `PreparedRun`."""

    def __init__(self, session: OrtSession, options: ort.RunOptions) -> None:
        self._session = session
        self._options = options

    def execute(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        """See `PreparedRun`."""
        try:
            found: list[Any] = self._session.run(outputs, feed, self._options)
            return found
        except Exception as error:  # noqa: BLE001 - as in `open_session`
            failure = run_failure(error)
            failure.metadata |= about(failure.reason, feed, self._session.signature)
            raise failure from None

    def terminate(self) -> None:
        """See `PreparedRun`: onnxruntime looks at the flag between two nodes."""
        self._options.terminate = True

    @property
    def terminated(self) -> bool:
        """See `PreparedRun`."""
        return bool(self._options.terminate)


def _ort_value(value: Any) -> Any:
    if isinstance(value, RawTensor):
        return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(value.bits, value.element_type)
    return value


def _as_ort_value(value: Any) -> Any:
    return ort.OrtValue.ortvalue_from_numpy(value) if isinstance(value, np.ndarray) else value


def _raw(value: Any) -> RawTensor:
    element_type, dtype = _EXTENDED[value.data_type()]
    # numpy() refuses these types, so the bytes are copied from where onnxruntime holds them.
    data = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return RawTensor(element_type, np.frombuffer(data, dtype).reshape(value.shape()))


def _signature(session: ort.InferenceSession) -> SessionSignature:
    meta = session.get_modelmeta()
    return SessionSignature(
        inputs=tuple(map(_spec, session.get_inputs())),
        outputs=tuple(map(_spec, session.get_outputs())),
        overridable_initializers=tuple(map(_spec, session.get_overridable_initializers())),
        model=ModelInfo(
            producer_name=meta.producer_name,
            graph_name=meta.graph_name,
            domain=meta.domain,
            description=meta.description,
            graph_description=meta.graph_description,
            version=meta.version,
            custom_metadata=dict(meta.custom_metadata_map),
        ),
        providers=tuple(session.get_providers()),
    )


def _spec(node: Any) -> ValueSpec:
    return ValueSpec(node.name, node.type, tuple(node.shape))
