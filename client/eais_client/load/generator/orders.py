"""What is said between the processes that make load and the one that asked for it: JSON, a line
each.

Orders: open, prepare, warm, plan (what a phase will be), phase (begin it), replan, stop. Told:
opened, done (an order was carried out), part (what was counted since the last), seen (each
request, of a live phase), ended (of a phase), error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from eais.errors import EaisError, make_error
from eais_client.load.brain.plan import (
    Closed,
    Driver,
    Driving,
    ModelLoad,
    Open,
    Phase,
    Spacing,
    Stretch,
)
from eais_client.load.target import ServerTimes, TargetKind, TargetSpec
from eais_client.signature import NodeArg, Signature


def phase_data(phase: Phase) -> dict[str, Any]:
    """A phase as JSON has it."""
    return asdict(phase)


def phase_of(data: Mapping[str, Any]) -> Phase:
    """What `phase_data` made."""
    load = data["load"]
    made = Closed(load["callers"]) if "callers" in load else open_of(load)
    return Phase(data["name"], made, data["seconds"], data["warm_s"])


def open_of(data: Mapping[str, Any]) -> Open:
    """What `asdict` made of one."""
    stretches = tuple(Stretch(**each) for each in data["stretches"])
    return Open(Spacing(data["spacing"]), stretches, data["burst"], tuple(data["moments"]))


def driving_of(data: Mapping[str, Any]) -> Driving:
    """What `asdict` made of one."""
    return Driving(**{**data, "driver": Driver(data["driver"])})


def target_of(data: Mapping[str, Any]) -> TargetSpec:
    """What `asdict` made of one."""
    return TargetSpec(**{**data, "kind": TargetKind(data["kind"])})


def model_of(data: Mapping[str, Any]) -> ModelLoad:
    """What `asdict` made of one."""
    return ModelLoad(**data)


def times_of(data: Mapping[str, Any] | None) -> ServerTimes | None:
    """What `asdict` made of one."""
    return None if data is None else ServerTimes(**data)


def signature_data(signature: Signature) -> dict[str, Any]:
    """Its inputs and outputs."""
    return {
        "inputs": [asdict(each) for each in signature.inputs],
        "outputs": [asdict(each) for each in signature.outputs],
    }


def signature_of(data: Mapping[str, Any]) -> Signature:
    """What `signature_data` made."""
    inputs = tuple(NodeArg(**each) for each in data["inputs"])
    return Signature(inputs, tuple(NodeArg(**each) for each in data["outputs"]))


def error_data(error: Exception) -> dict[str, Any]:
    """What hindered an order."""
    if isinstance(error, EaisError):
        return {"reason": error.reason, "text": error.message, "hint": error.hint or ""}
    return {"reason": "BUG", "text": f"{type(error).__name__}: {error}", "hint": ""}


def error_of(data: Mapping[str, Any]) -> EaisError:
    """The same, to be raised here."""
    return make_error(data["reason"], data["text"], hint=data["hint"])
