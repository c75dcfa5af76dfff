"""The names of onnxruntime's that EAIS stands in for, and what each of them is.

`MODULES` is the one table. A name that isn't in it comes from the real onnxruntime where
that is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: The release of onnxruntime whose names and behaviour the stand-in has.
STANDS_FOR: Final = "1.31.1"
ROOT: Final = "onnxruntime"

_OPTIONS: Final = "eais_client.session_options"
_OWN: Final = "eais_client.run.functions"
_SESSION: Final = "eais_client.session"

_SHARED: Final[Mapping[str, str]] = {
    "ExecutionMode": _OPTIONS,
    "ExecutionOrder": _OWN,
    "GraphOptimizationLevel": _OPTIONS,
    "ModelMetadata": "eais_client.signature",
    "NodeArg": "eais_client.signature",
    "RunOptions": _OPTIONS,
    "SessionOptions": _OPTIONS,
    "disable_telemetry_events": _OWN,
    "enable_telemetry_events": _OWN,
    "get_all_providers": _OWN,
    "get_available_providers": _SESSION,
    "get_build_info": _OWN,
    "get_device": _OWN,
    "get_ep_devices": _OWN,
    "get_version_string": _OWN,
    "has_collective_ops": _OWN,
    "register_execution_provider_library": _OWN,
    "set_default_logger_severity": _OWN,
    "set_default_logger_verbosity": _OWN,
    "set_global_thread_pool_sizes": _OWN,
    "set_seed": _OWN,
    "unregister_execution_provider_library": _OWN,
}
_EXCEPTIONS: Final = (
    "DeviceReset",
    "EPFail",
    "EngineError",
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "ModelLoadCanceled",
    "ModelLoaded",
    "ModelRequiresCompilation",
    "NoModel",
    "NoSuchFile",
    "NotFound",
    "NotImplemented",
    "RuntimeException",
)
_STATE: Final = {**_SHARED, **dict.fromkeys(_EXCEPTIONS, "eais_client.ort_errors")}

#: Module -> the names in it -> the module of ours that has the name.
MODULES: Final[Mapping[str, Mapping[str, str]]] = {
    ROOT: {**_SHARED, "InferenceSession": _SESSION, "preload_dlls": _OWN},
    f"{ROOT}.backend": dict.fromkeys(
        ("is_compatible", "prepare", "run", "supports_device"), "eais_client.run.onnx_backend"
    ),
    f"{ROOT}.backend.backend": dict.fromkeys(
        ("OnnxRuntimeBackend", "is_compatible", "prepare", "run", "supports_device"),
        "eais_client.run.onnx_backend",
    ),
    f"{ROOT}.backend.backend_rep": {"OnnxRuntimeBackendRep": "eais_client.run.onnx_backend"},
    f"{ROOT}.capi": {},
    f"{ROOT}.capi._pybind_state": _STATE,
    f"{ROOT}.capi.onnxruntime_inference_collection": {"InferenceSession": _SESSION},
    f"{ROOT}.capi.onnxruntime_pybind11_state": _STATE,
}
#: Taken from the real package where it is installed: they only call what stands in.
REAL_FIRST: Final = frozenset(
    {f"{ROOT}.backend", f"{ROOT}.backend.backend", f"{ROOT}.backend.backend_rep"}
)
PACKAGES: Final = frozenset({ROOT, f"{ROOT}.backend", f"{ROOT}.capi"})
#: Importing the key makes these its attributes, as importing onnxruntime does.
LOADED_WITH: Final[Mapping[str, tuple[str, ...]]] = {
    ROOT: ("capi",),
    f"{ROOT}.capi": (
        "_pybind_state",
        "onnxruntime_inference_collection",
        "onnxruntime_pybind11_state",
    ),
}
#: What would run a model in this process although the program is to use the pool.
REFUSED: Final[Mapping[str, frozenset[str]]] = {
    f"{ROOT}.capi._pybind_state": frozenset({"InferenceSession", "SessionIOBinding"}),
    f"{ROOT}.capi.onnxruntime_pybind11_state": frozenset({"InferenceSession", "SessionIOBinding"}),
}
#: What onnxruntime itself has besides; an error says to install it.
REAL_ONLY: Final = frozenset(
    {
        "AdapterFormat",
        "ArenaExtendStrategy",
        "IOBinding",
        "LoraAdapter",
        "ModelCompiler",
        "OrtAllocatorType",
        "OrtArenaCfg",
        "OrtCompileApiFlags",
        "OrtDevice",
        "OrtDeviceMemoryType",
        "OrtDeviceVendorId",
        "OrtEpDevice",
        "OrtExecutionProviderDevicePolicy",
        "OrtExternalInitializerInfo",
        "OrtHardwareDevice",
        "OrtHardwareDeviceType",
        "OrtMemType",
        "OrtMemoryInfo",
        "OrtMemoryInfoDeviceType",
        "OrtSparseFormat",
        "OrtSyncStream",
        "OrtValue",
        "OrtValueVector",
        "SessionIOBinding",
        "SparseTensor",
        "copy_tensors",
        "create_and_register_allocator",
        "create_and_register_allocator_v2",
        "datasets",
        "quantization",
        "tools",
        "training",
        "transformers",
    }
)
