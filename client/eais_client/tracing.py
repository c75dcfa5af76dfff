"""What a call's span says: where it went, how often, and what it cost there."""

from __future__ import annotations

from eais.telemetry.trace import CallSpan, is_traced
from eais_client.pending import PendingCall


def begin_span(instance: str, session: str, model: str) -> CallSpan | None:
    """Begin the span of a call, whose context goes with it; None: nobody traces.

    Args:
        model: the SHA-256 of the model's file, in hex.
    """
    if not is_traced():
        return None
    return CallSpan.begin(
        {"eais.instance": instance, "eais.session": session, "eais.model.sha256": model}
    )


def end_span(span: CallSpan, pending: PendingCall) -> None:
    """The call is over, answered or not."""
    attributes: dict[str, str | int | float] = {"eais.attempts": pending.attempts}
    if pending.worker:
        attributes["eais.worker"] = pending.worker
    if pending.answer is not None and pending.error is None:
        attributes["eais.queue_ms"] = pending.answer.part.queue_ns / 1e6
        attributes["eais.compute_ms"] = pending.answer.part.compute_ns / 1e6
    reason = pending.error.reason if pending.error is not None else ""
    if not reason and pending.answer is None:
        reason = "CANCELLED"
    span.end(attributes, reason)
