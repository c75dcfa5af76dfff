"""What is said to callers whose calls ended without an answer. (Brain)"""

from __future__ import annotations

from eais.errors import EaisError, make_error
from eais_client.brain.call_state import Call, State


def closed(instance: str) -> EaisError:
    """The error of a call on a session that its user closed."""
    return make_error("SESSION_CLOSED", "the session was closed", metadata={"instance": instance})


def late() -> EaisError:
    """The error of a call whose caller's deadline passed."""
    return make_error("DEADLINE_EXCEEDED", "the caller's deadline passed before the answer came")


def device_lost(instance: str, stranded: str) -> EaisError:
    """The error of whoever waited too long for an instance whose devices all failed."""
    return make_error(
        "DEVICE_LOST",
        f"{instance}: {stranded}",
        hint="it goes on once a device of its type is free; eais resize takes another type",
        metadata={"instance": instance},
    )


def unanswered(state: State, call: Call) -> EaisError:
    """The error of a call that waited too long for a worker, or for room at one."""
    patience_s = state.patience_s(call)
    if call.last_error is not None and call.last_error.reason == "BUSY":
        text = f"the workers of {state.instance} had no room for {patience_s:g} s"
        return make_error("BUSY", text, metadata={"instance": state.instance})
    if state.stranded:
        return device_lost(state.instance, state.stranded)
    behind = call.last_error or state.find_error
    why = f" ({behind.reason}: {behind.message})" if behind else ""
    return make_error(
        "NO_WORKER",
        f"no worker of {state.instance} could be reached for {patience_s:g} s{why}",
        metadata={"instance": state.instance, "attempts": str(call.attempts)},
    )
