"""Our settings as onnxruntime's options, and which of a caller's entries are refused.

onnxruntime's configuration is a flat map of strings that it doesn't check, in
which some keys name files to read or write, libraries, threads or cores of the
host. Keys are refused by the words in them, so that one that a later version
adds is refused too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from eais.errors import ModelRejected
from eais_server.devices.driver import RunSettings, SessionSettings

if TYPE_CHECKING:
    import onnxruntime

_LEVELS: Final = (0, 1, 2, 3, 99)
_MODES: Final = (0, 1)
_REFUSED_KEY: Final = re.compile(
    r"^ep\.|path|file|folder|director|librar|context|save|dump|profil|affinit|thread|model_format"
    r"|model_bytes|load_config|log_|allocators|memory_mapped|compile_only",
    re.IGNORECASE,
)
# Code that a session would load beside its model.
_CODE_KEY: Final = re.compile(r"librar|custom_?op", re.IGNORECASE)
_MAX_KEY, _MAX_VALUE = 128, 2048
_FATAL: Final = 4
EXTERNAL_FOLDER: Final = "session.model_external_initializers_file_folder_path"


def session_options(settings: SessionSettings, threads: int) -> onnxruntime.SessionOptions:
    """Options of a session that runs on `threads` threads, else as the caller asked.

    Raises:
        ModelRejected: OPTION_REFUSED, OP_REFUSED.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    # Its texts go to the caller, in exceptions; the log is the operator's.
    options.log_severity_level = _FATAL
    options.graph_optimization_level = ort.GraphOptimizationLevel(
        _one_of("graph_optimization_level", settings.graph_optimization_level, _LEVELS)
    )
    options.execution_mode = ort.ExecutionMode(
        _one_of("execution_mode", settings.execution_mode, _MODES)
    )
    options.enable_mem_pattern = settings.mem_pattern
    options.enable_cpu_mem_arena = settings.cpu_mem_arena
    options.use_deterministic_compute = settings.deterministic_compute
    for name, size in settings.free_dimensions_by_name.items():
        options.add_free_dimension_override_by_name(name, size)
    for name, size in settings.free_dimensions_by_denotation.items():
        options.add_free_dimension_override_by_denotation(name, size)
    _add_entries(options.add_session_config_entry, settings.config_entries)
    # Else bytes that look like onnxruntime's own format would be taken for it.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return options


def run_options(settings: RunSettings) -> onnxruntime.RunOptions:
    """Options of one run; `ModelRejected` OPTION_REFUSED."""
    import onnxruntime as ort

    options = ort.RunOptions()
    options.log_severity_level = _FATAL
    if settings.tag:
        options.logid = settings.tag
    _add_entries(options.add_run_config_entry, settings.config_entries)
    return options


def _one_of(name: str, value: int, known: tuple[int, ...]) -> int:
    if value not in known:
        raise ModelRejected("OPTION_REFUSED", f"{name} = {value}: known are {known}")
    return value


def _add_entries(add: Any, entries: Mapping[str, str]) -> None:
    for key, value in entries.items():
        check_entry(key, value)
        add(key, value)


def check_entry(key: str, value: str) -> None:
    """Refuse an entry by which a caller could reach the host's files, libraries or cores.

    Raises:
        ModelRejected: OPTION_REFUSED; OP_REFUSED for one that would load operators.
    """
    if not key or len(key) > _MAX_KEY or len(value) > _MAX_VALUE or "\0" in key + value:
        raise ModelRejected("OPTION_REFUSED", f"the option {key[:64]!r} has no legal key and value")
    if _CODE_KEY.search(key):
        raise ModelRejected(
            "OP_REFUSED",
            f"the option {key!r} would load a library of operators: no code comes with a model",
            metadata={"op": "custom-op library"},
        )
    if _REFUSED_KEY.search(key) or "/" in value:
        raise ModelRejected(
            "OPTION_REFUSED", f"the option {key!r} is the back-end's to set", hint="leave it out"
        )
