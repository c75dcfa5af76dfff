"""Options of a session and of a run: onnxruntime's fields, and what of them travels.

How many threads a run gets is the device share's to decide, so the thread counts are
kept and reported but have no effect. What needs this process's memory or libraries
inside the runtime is refused, clearly and at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, Final, NoReturn

from eais.errors import UsageError
from eais_client.brain.transport import TRANSPORT_KEY
from eais_client.ort_errors import builtin_error, ort_error

MAX_CONFIG_KEY = 1024


class GraphOptimizationLevel(IntEnum):
    """How far the model's graph is rewritten when it is loaded."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(IntEnum):
    """Whether independent nodes of a model run one after the other or side by side."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class SessionOptions:
    """onnxruntime's `SessionOptions`.

    Travel to the worker: `graph_optimization_level`, `execution_mode`,
    `enable_mem_pattern`, `enable_cpu_mem_arena`, `use_deterministic_compute`, the config
    entries and the free dimension overrides. The other fields are kept and do nothing.
    """

    def __init__(self) -> None:
        self.enable_cpu_mem_arena = True
        self.enable_mem_pattern = True
        self.enable_mem_reuse = True
        self.execution_order = 0
        self.inter_op_num_threads = 0
        self.intra_op_num_threads = 0
        self.log_severity_level = -1
        self.log_verbosity_level = 0
        self.logid = ""
        self.optimized_model_filepath = ""
        self.profile_file_prefix = "onnxruntime_profile_"
        self.use_deterministic_compute = False
        self.use_per_session_threads = True
        self._level = GraphOptimizationLevel.ORT_ENABLE_ALL
        self._mode = ExecutionMode.ORT_SEQUENTIAL
        self._entries: dict[str, str] = {}
        self._by_name: dict[str, int] = {}
        self._by_denotation: dict[str, int] = {}

    @property
    def graph_optimization_level(self) -> GraphOptimizationLevel:
        """How far the graph is rewritten; TypeError for anything but the enum's values."""
        return self._level

    @graph_optimization_level.setter
    def graph_optimization_level(self, value: GraphOptimizationLevel) -> None:
        self._level = GraphOptimizationLevel(_enum_value(value, "GraphOptimizationLevel"))

    @property
    def execution_mode(self) -> ExecutionMode:
        """Sequential or parallel; TypeError for anything but the enum's values."""
        return self._mode

    @execution_mode.setter
    def execution_mode(self, value: ExecutionMode) -> None:
        self._mode = ExecutionMode(_enum_value(value, "ExecutionMode"))

    @property
    def enable_profiling(self) -> bool:
        """Always false: a profile would be written at the worker."""
        return False

    @enable_profiling.setter
    def enable_profiling(self, value: bool) -> None:
        if value:
            _refuse("enable_profiling", "is not there yet: the profile would be the worker's")

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Set a configuration entry; RuntimeError for an empty key or one above 1024."""
        _check_entry("add_session_config_entry", key, value)
        self._entries[key] = value

    def get_session_config_entry(self, key: str) -> str:
        """The entry's value; RuntimeError if it wasn't set."""
        if key not in self._entries:
            text = f"SessionOptions does not have configuration with key: {key}"
            raise builtin_error("ARGUMENT", RuntimeError, text)
        return self._entries[key]

    def add_free_dimension_override_by_name(self, name: str, value: int) -> None:
        """Give the symbolic dimension called `name` a size."""
        self._by_name[_text(name)] = _whole(value)

    def add_free_dimension_override_by_denotation(self, name: str, value: int) -> None:
        """Give the dimensions denoted `name` a size."""
        self._by_denotation[_text(name)] = _whole(value)

    def add_initializer(self, name: str, ort_value: object) -> NoReturn:
        """Not yet: raises UNIMPLEMENTED."""
        _refuse("add_initializer", "is not there yet; put the initializer into the model")

    def add_external_initializers(self, names: object, values: object) -> NoReturn:
        """Not yet: raises UNIMPLEMENTED."""
        _refuse("add_external_initializers", "is not there yet; give the model's path")

    def register_custom_ops_library(self, path: object) -> NoReturn:
        """Refused with OP_REFUSED: no code of this machine is loaded into a worker."""
        text = "Failed to load library: register_custom_ops_library: no code comes with a model"
        raise ort_error("OP_REFUSED", "Fail", text)

    def has_providers(self) -> bool:
        """Whether providers were added to these options: never, they go to the session."""
        return False

    @property
    def config_entries(self) -> dict[str, str]:
        """A copy of the configuration entries."""
        return dict(self._entries)

    @property
    def free_dimension_overrides(self) -> tuple[dict[str, int], dict[str, int]]:
        """Copies of the overrides by name and by denotation."""
        return dict(self._by_name), dict(self._by_denotation)


class RunOptions:
    """onnxruntime's `RunOptions`. Setting `terminate` ends the runs that use it."""

    def __init__(self) -> None:
        self.log_severity_level = -1
        self.log_verbosity_level = 0
        self.logid = ""
        self.only_execute_path_to_fetches = False
        self._terminate = False
        self._entries: dict[str, str] = {}
        self._lock = threading.Lock()
        self._runs: list[Callable[[], None]] = []

    @property
    def terminate(self) -> bool:
        """Whether runs with these options end at once with onnxruntime's `Fail`."""
        return self._terminate

    @terminate.setter
    def terminate(self, value: bool) -> None:
        with self._lock:
            self._terminate = bool(value)
            runs = list(self._runs) if value else []
        for end in runs:
            end()

    def add_run_config_entry(self, key: str, value: str) -> None:
        """Set a configuration entry; RuntimeError for an empty key or one above 1024."""
        _check_entry("add_run_config_entry", key, value)
        self._entries[key] = value

    def get_run_config_entry(self, key: str) -> str:
        """The entry's value; RuntimeError if it wasn't set."""
        if key not in self._entries:
            text = f"RunOptions does not have configuration with key: {key}"
            raise builtin_error("ARGUMENT", RuntimeError, text)
        return self._entries[key]

    @property
    def config_entries(self) -> dict[str, str]:
        """A copy of the configuration entries."""
        return dict(self._entries)

    @contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` if `terminate` is set inside the block."""
        with self._lock:
            self._runs.append(end)
            terminated = self._terminate
        if terminated:
            end()
        try:
            yield
        finally:
            with self._lock:
                self._runs.remove(end)


# onnxruntime's own options objects can't list their entries, so these keys are asked for.
KNOWN_SESSION_KEYS: Final = (
    TRANSPORT_KEY,
    "optimization.disable_specified_optimizers",
    "optimization.enable_cast_chain_elimination",
    "optimization.enable_gelu_approximation",
    "optimization.minimal_build_optimizations",
    "session.allow_released_opsets_only",
    "session.debug_layout_transformation",
    "session.disable_aot_function_inlining",
    "session.disable_cpu_ep_fallback",
    "session.disable_double_qdq_remover",
    "session.disable_prepacking",
    "session.disable_quant_qdq",
    "session.dynamic_block_base",
    "session.enable_quant_qdq_cleanup",
    "session.force_spinning_stop",
    "session.inter_op.allow_spinning",
    "session.intra_op.allow_spinning",
    "session.load_model_format",
    "session.qdqisint8allowed",
    "session.set_denormal_as_zero",
    "session.strict_shape_type_inference",
    "session.use_device_allocator_for_initializers",
    "session.use_env_allocators",
)
KNOWN_RUN_KEYS: Final = (
    "memory.enable_memory_arena_shrinkage",
    "disable_synchronize_execution_providers",
)

#: Numbers, truths and words that onnxruntime's options take as ours have them.
PLAIN_FIELDS: Final = (
    "enable_cpu_mem_arena",
    "enable_mem_pattern",
    "enable_mem_reuse",
    "inter_op_num_threads",
    "intra_op_num_threads",
    "log_severity_level",
    "log_verbosity_level",
    "logid",
    "use_deterministic_compute",
    "use_per_session_threads",
)
_SHARED_FIELDS: Final = (
    *PLAIN_FIELDS,
    "optimized_model_filepath",
    "profile_file_prefix",
    "graph_optimization_level",
    "execution_mode",
    "enable_profiling",
)


def session_options_of(given: Any) -> SessionOptions:
    """`given` as our options: ours, onnxruntime's own (its fields are read), or None.

    Entries of onnxruntime's object are found only under `KNOWN_SESSION_KEYS`, free
    dimension overrides not at all: it can't list them. TypeError for anything else.
    """
    if given is None:
        return SessionOptions()
    if isinstance(given, SessionOptions):
        return given
    if not hasattr(given, "get_session_config_entry"):
        raise builtin_error(
            "ARGUMENT",
            TypeError,
            "__init__(): incompatible constructor arguments: sess_options must be a "
            f"SessionOptions, not {type(given).__name__}",
        )
    made = SessionOptions()
    for name in _SHARED_FIELDS:
        setattr(made, name, getattr(given, name, getattr(made, name)))
    made._entries.update(_asked(given.get_session_config_entry, KNOWN_SESSION_KEYS))
    return made


def run_options_of(given: Any) -> RunOptions | None:
    """`given` as our options: ours, onnxruntime's own, or None; TypeError for anything else."""
    if given is None or isinstance(given, RunOptions):
        return given
    if not hasattr(given, "get_run_config_entry"):
        raise builtin_error(
            "ARGUMENT",
            TypeError,
            "run(): incompatible function arguments: run_options must be a RunOptions, "
            f"not {type(given).__name__}",
        )
    made = RunOptions()
    made.logid = str(getattr(given, "logid", ""))
    made.terminate = bool(getattr(given, "terminate", False))
    made._entries.update(_asked(given.get_run_config_entry, KNOWN_RUN_KEYS))
    return made


def _asked(get: Callable[[str], str], keys: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for key in keys:
        try:
            found[key] = get(key)
        except RuntimeError:
            continue  # onnxruntime's answer for an entry that isn't set
    return found


def _enum_value(value: Any, name: str) -> int:
    # onnxruntime's own enums are no ints, but say their value.
    if type(value).__name__ != name:
        raise builtin_error(
            "ARGUMENT",
            TypeError,
            f"(): incompatible function arguments: a {name} is needed, not {value!r}",
        )
    return int(value)


def _check_entry(method: str, key: object, value: object) -> None:
    if not (isinstance(key, str) and isinstance(value, str)):
        text = f"{method}(): incompatible function arguments: key and value must be str"
        raise builtin_error("ARGUMENT", TypeError, text)
    if not 0 < len(key) <= MAX_CONFIG_KEY:
        text = f"Config key is empty or longer than maximum length {MAX_CONFIG_KEY}"
        raise builtin_error("ARGUMENT", RuntimeError, text)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise builtin_error(
            "ARGUMENT", TypeError, f"incompatible function arguments: {value!r} is not a str"
        )
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise builtin_error(
            "ARGUMENT", TypeError, f"incompatible function arguments: {value!r} is not an int"
        )
    return value


def _refuse(what: str, why: str) -> NoReturn:
    raise UsageError("UNIMPLEMENTED", f"{what} {why}")
