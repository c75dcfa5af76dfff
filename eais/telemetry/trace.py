"""W3C Trace Context, and a span a call where the application has OpenTelemetry's API.

The client puts the current span's context into each call and makes a span of its own below it;
the worker's log lines of a call that failed carry the trace id. What comes from a client and is
no context is ignored, as the standard says: it is no error. Nothing here asks for the API: it is
used if the process has imported it, so a program without it pays nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MAX_TRACEPARENT: Final = 256
"""Of characters that are looked at; a version that is yet to come may have more than 55."""
MAX_TRACESTATE: Final = 512
"""What the standard wants to be carried at least; a longer one is left out."""

SPAN: Final = "eais.run"

_API: Final = "opentelemetry.trace"
_PARENT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-"
    r"(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where a call comes from: 32 and 16 hexadecimal digits, and whether it is recorded there."""

    trace_id: str
    parent_id: str
    sampled: bool


def parse_traceparent(text: str) -> TraceContext | None:
    """The context; None if it is none that the standard lets one go on with."""
    found = _PARENT.fullmatch(text) if len(text) <= MAX_TRACEPARENT else None
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return None
    if not int(found["trace"], 16) or not int(found["parent"], 16):
        return None
    return TraceContext(found["trace"], found["parent"], bool(int(found["flags"], 16) & 1))


def is_traced() -> bool:
    """Whether this process has loaded what spans are made with."""
    return _API in sys.modules


class CallSpan:
    """The span of one call, begun; `CallSpan.begin` gives None where nobody traces."""

    __slots__ = ("_api", "_span", "traceparent", "tracestate")

    def __init__(self, api: Any, span: Any) -> None:
        self._api = api
        self._span = span
        context = span.get_span_context()
        flags = int(context.trace_flags) & 0xFF
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"
        state = context.trace_state.to_header()
        self.tracestate = state if len(state) <= MAX_TRACESTATE else ""

    @classmethod
    def begin(cls, attributes: Mapping[str, str]) -> CallSpan | None:
        """Begin one below the current span, as the caller's tracer provider likes it."""
        api: Any = sys.modules.get(_API)
        if api is None:
            return None
        span = api.get_tracer("eais").start_span(
            SPAN, kind=api.SpanKind.CLIENT, attributes=attributes
        )
        return cls(api, span) if span.get_span_context().is_valid else None

    def end(self, attributes: Mapping[str, str | int | float], reason: str = "") -> None:
        """It is over, with `reason` if it failed."""
        self._span.set_attributes(attributes)
        if reason:
            self._span.set_attribute("error.type", reason)
            self._span.set_status(self._api.Status(self._api.StatusCode.ERROR, reason))
        self._span.end()
