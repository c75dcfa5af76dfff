"""Opens a target, of whatever kind."""

from __future__ import annotations

from eais_client.load.target import Target, TargetKind, TargetSpec


def open_target(spec: TargetSpec) -> Target:
    """The target that `spec` names, open in this process.

    Raises `UsageError` ARGUMENT for settings that it doesn't have, and what hinders it.
    """
    match spec.kind:
        case TargetKind.INSTANCE:
            from eais_client.load.targets.instance import InstanceTarget

            return InstanceTarget(spec)
        case TargetKind.ONNXRUNTIME:
            from eais_client.load.targets.onnxruntime import OnnxruntimeTarget

            return OnnxruntimeTarget(spec)
        case TargetKind.PYTHON:
            from eais_client.load.targets.plugin import load_target

            return load_target(spec)
        case TargetKind.SERVER:
            from eais_client.load.targets.open_protocol import OpenProtocolTarget

            return OpenProtocolTarget(spec)
