"""gRPC's status numbers, and what they are when HTTP/2 or HTTP says something else. (Brain.)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from eais.transport.h2 import frames

OK: Final = 0
CANCELLED: Final = 1
UNKNOWN: Final = 2
INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16

COMPRESSED: Final = "compressed messages aren't taken: send identity"

_INADEQUATE_SECURITY = 0xC

# gRPC over HTTP/2, "HTTP2 error codes".
_OF_RESET: Mapping[int, int] = {
    frames.REFUSED_STREAM: UNAVAILABLE,
    frames.CANCEL: CANCELLED,
    frames.ENHANCE_YOUR_CALM: RESOURCE_EXHAUSTED,
    _INADEQUATE_SECURITY: PERMISSION_DENIED,
}

# gRPC's "HTTP to gRPC status code mapping", for answers that are none of gRPC.
_OF_HTTP: Mapping[str, int] = {
    "400": INTERNAL,
    "401": UNAUTHENTICATED,
    "403": PERMISSION_DENIED,
    "404": UNIMPLEMENTED,
    "429": UNAVAILABLE,
    "502": UNAVAILABLE,
    "503": UNAVAILABLE,
    "504": UNAVAILABLE,
}


def of_reset(code: int) -> int:
    """The gRPC status of a stream that was reset with HTTP/2's `code`."""
    return _OF_RESET.get(code, INTERNAL)


def of_http(status: str) -> int:
    """The gRPC status of an answer that carries none, by HTTP's `:status`."""
    return _OF_HTTP.get(status, UNKNOWN)
