"""Opens a target, of whatever kind."""

from __future__ import annotations

import importlib
from typing import cast

from eais.errors import UsageError
from eais_client.load.target import Target, TargetKind, TargetSpec


def open_target(spec: TargetSpec) -> Target:
    """The target that `spec` names, open in this process."""
    if spec.kind is TargetKind.PYTHON:
        module, _, name = spec.place.partition(":")
        return cast(Target, getattr(importlib.import_module(module), name)(spec))
    raise UsageError("ARGUMENT", f"{spec.kind}: no such target")
