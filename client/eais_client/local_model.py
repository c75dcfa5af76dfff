"""A model in this process, by its own onnxruntime: loaded when it is needed, then let go.

The model, its options and its answers are those of onnxruntime without EAIS; its exceptions are
raised as ours, which are onnxruntime's as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from eais.deadline import Deadline
from eais.errors import ConfigError, EaisError, UsageError, make_error
from eais_client.asked import Asked
from eais_client.model_source import ModelSource, read_model
from eais_client.ort_errors import CLASSES, as_onnxruntime, builtin_error
from eais_client.session_options import PLAIN_FIELDS, SessionOptions, run_options_of
from eais_client.signature import ModelMetadata, NodeArg, Signature

_CPU: Final = "CPUExecutionProvider"
_OF_LOADING: Final[Mapping[str, str]] = {
    "InvalidGraph": "MODEL_INVALID",
    "InvalidProtobuf": "MODEL_PARSE",
    "NoSuchFile": "NOT_FOUND",
    "NotImplemented": "OPSET_UNSUPPORTED",
}
_OF_RUNNING: Final[Mapping[str, str]] = {
    "InvalidArgument": "INPUT_REJECTED",
    "RuntimeError": "INPUT_REJECTED",
    "TypeError": "ARGUMENT",
    "ValueError": "INPUT_MISSING",
}
_BUILTINS: Final = (RuntimeError, TypeError, ValueError)

#: Gives the onnxruntime package; ImportError if there is none.
Runtime = Callable[[], Any]


class LocalModel:
    """What `asked` is about, run here; safe from any thread.

    Raises `ConfigError` NOT_INSTALLED if `there` says that onnxruntime isn't.
    """

    def __init__(self, asked: Asked, runtime: Runtime, there: Callable[[], object]) -> None:
        if not there():
            raise ConfigError(
                "NOT_INSTALLED",
                'fallback="local" needs onnxruntime in this environment',
                hint="pip install onnxruntime, or leave out the fall-back (EAIS_FALLBACK)",
            )
        self._asked = asked
        self._runtime = runtime
        self._lock = threading.Lock()
        self._session: Any = None

    def session(self) -> Any:
        """The onnxruntime session, loaded now if it isn't.

        Raises what onnxruntime raises, as `InferenceSession` does; MODEL_CHANGED if the files
        aren't any more what the session was made from.
        """
        with self._lock:
            if self._session is None:
                self._session = self._load()
            return self._session

    def providers(self) -> list[str]:
        """Those that were asked for and are here, and the CPU's; loads nothing."""
        here = self._runtime().get_available_providers()
        wanted = [name for name in self._asked.choice.providers if name in here]
        return wanted if _CPU in wanted else [*wanted, _CPU]

    def free(self) -> None:
        """Let go of it; calls under way have their own hold on it."""
        with self._lock:
            self._session = None

    def signature(self) -> Signature:
        """What it says of itself."""
        session = self.session()
        meta = session.get_modelmeta()
        return Signature(
            inputs=_args(session.get_inputs()),
            outputs=_args(session.get_outputs()),
            overridable_initializers=_args(session.get_overridable_initializers()),
            metadata=ModelMetadata(
                producer_name=meta.producer_name,
                graph_name=meta.graph_name,
                domain=meta.domain,
                description=meta.description,
                graph_description=meta.graph_description,
                version=meta.version,
                custom_metadata_map=dict(meta.custom_metadata_map),
            ),
            providers=tuple(session.get_providers()),
        )

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: object,
        deadline: Deadline,
    ) -> list[Any]:
        """Run it and wait; raises as `InferenceSession.run`, DEADLINE_EXCEEDED too."""
        clock = self._asked.frontend.clock
        deadline.check(clock())
        session = self.session()
        with self._ended_by(run_options, deadline.left_or_none(clock())) as real:
            try:
                return list(session.run(output_names, input_feed, real))
            except Exception as error:  # noqa: BLE001 - onnxruntime's have no base of their own
                deadline.check(clock())
                raise _ours(error, _OF_RUNNING, "RUN_FAILED") from None

    def _load(self) -> Any:
        ort, asked = self._runtime(), self._asked
        model = _unchanged(asked.source)
        options = _options(ort, asked.options, asked.given)
        try:
            return ort.InferenceSession(model, options, providers=self.providers())
        except Exception as error:  # noqa: BLE001 - as above
            raise _ours(error, _OF_LOADING, "MODEL_INVALID") from None

    @contextmanager
    def _ended_by(self, given: object, left_s: float | None) -> Iterator[Any]:
        """Onnxruntime's own options for one run, which the caller or its deadline may end."""
        ours, real = run_options_of(given), self._runtime().RunOptions()

        def end() -> None:
            real.terminate = True

        with ExitStack() as ending:
            if ours is not None:
                real.logid = ours.logid
                for key, value in ours.config_entries.items():
                    real.add_run_config_entry(key, value)
                ending.enter_context(ours.ending(end))
            if left_s is not None:
                timer = threading.Timer(left_s, end)
                timer.daemon = True
                timer.start()
                ending.callback(timer.cancel)
            yield real


def _unchanged(source: ModelSource) -> str | bytes:
    """The model for onnxruntime; MODEL_CHANGED if it isn't what `source` read."""
    first = source.files[0]
    if source.path is None or first.stamp is None:
        return first.data
    now = read_model(source.path, lambda: None)
    if [file.sha256 for file in now.files] != [file.sha256 for file in source.files]:
        raise UsageError(
            "MODEL_CHANGED",
            "the model isn't any more what the session was made from",
            hint="make a new session from the model as it is now",
        )
    return source.path


def _options(ort: Any, options: SessionOptions, given: object) -> Any:
    """`given` if it is onnxruntime's own; else what our options say."""
    if isinstance(given, ort.SessionOptions):
        return given
    made = ort.SessionOptions()
    for name in PLAIN_FIELDS:
        setattr(made, name, getattr(options, name))
    made.graph_optimization_level = ort.GraphOptimizationLevel(
        int(options.graph_optimization_level)
    )
    made.execution_mode = ort.ExecutionMode(int(options.execution_mode))
    for key, value in options.config_entries.items():
        made.add_session_config_entry(key, value)
    by_name, by_denotation = options.free_dimension_overrides
    for name, size in by_name.items():
        made.add_free_dimension_override_by_name(name, size)
    for name, size in by_denotation.items():
        made.add_free_dimension_override_by_denotation(name, size)
    return made


def _args(args: Sequence[Any]) -> tuple[NodeArg, ...]:
    return tuple(NodeArg(arg.name, list(arg.shape), arg.type) for arg in args)


def _ours(error: Exception, reasons: Mapping[str, str], otherwise: str) -> Exception:
    """Onnxruntime's exception as the one of ours that stands for it; others as they are."""
    if isinstance(error, EaisError):
        return error
    name, text = type(error).__name__, str(error)
    reason = reasons.get(name, otherwise)
    if name in CLASSES:
        return as_onnxruntime(make_error(reason, text), name)
    if type(error) in _BUILTINS:
        return builtin_error(reason, type(error), text)
    return error
