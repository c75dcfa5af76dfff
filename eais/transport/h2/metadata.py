"""gRPC's headers and trailers: what they are in HTTP/2, and what is refused. (Brain.)"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from eais.transport.h2 import codes
from eais.transport.h2.events import Metadata

RawHeaders = Iterable[tuple[bytes, bytes]]
Written = list[tuple[bytes, bytes]]
Given = Sequence[tuple[str, str | bytes]]

_CONTENT_TYPE: Final = (b"content-type", b"application/grpc")
_IDENTITY: Final = (b"grpc-accept-encoding", b"identity")
_OK_HEADERS: Final[Written] = [(b":status", b"200"), _CONTENT_TYPE, _IDENTITY]
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])\Z")
_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_NO_METADATA = frozenset(
    ("te", "content-type", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding")
)
_PLAIN = frozenset(range(0x20, 0x7F)) - {ord("%")}
# What each entry of a header list counts beside its bytes.
_ENTRY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Request:
    """A call as its headers say it."""

    path: str
    timeout_s: float | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that no handler sees; `http` is the answer where gRPC asks for one of HTTP."""

    status: int
    message: str
    http: int = 200


@dataclass(frozen=True, slots=True)
class Trailers:
    """How a call ended."""

    status: int
    message: str
    metadata: Metadata


def list_bytes(headers: RawHeaders) -> int:
    """The size of a header list as SETTINGS_MAX_HEADER_LIST_SIZE counts it."""
    return sum(len(name) + len(value) + _ENTRY_BYTES for name, value in headers)


def too_large(size: int, most: int) -> str:
    """What is said of a header list of `size` bytes, in grpcio's words."""
    return f"received metadata size exceeds limit ({size} vs. {most})"


def request_headers(path: str, authority: str, metadata: Given) -> Written:
    """The headers that call `path`."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", path.encode()),
        (b":authority", authority.encode()),
        (b"te", b"trailers"),
        _CONTENT_TYPE,
        _IDENTITY,
        *_written(metadata),
    ]


def answer_headers() -> Written:
    """The headers before a server's first message."""
    return list(_OK_HEADERS)


def trailers(status: int, message: str, metadata: Given, *, first: bool) -> Written:
    """What ends a call; `first` if no headers were sent before."""
    headers: Written = list(_OK_HEADERS) if first else []
    headers.append((b"grpc-status", b"%d" % status))
    if message:
        headers.append((b"grpc-message", _escaped(message)))
    return headers + _written(metadata)


def refusal(refused: Refusal) -> Written:
    """What answers a call that no handler sees."""
    if refused.http != 200:
        return [(b":status", b"%d" % refused.http)]
    return trailers(refused.status, refused.message, (), first=True)


def read_request(headers: RawHeaders, most_bytes: int) -> Request | Refusal:
    """The call that a client's headers ask for, or how it is refused."""
    headers = list(headers)
    fields = dict(headers)
    if fields.get(b":method") != b"POST":
        return Refusal(codes.UNIMPLEMENTED, "only POST is served", http=405)
    if not fields.get(b"content-type", b"").startswith(b"application/grpc"):
        return Refusal(codes.UNIMPLEMENTED, "only application/grpc is served", http=415)
    size = list_bytes(headers)
    if size > most_bytes:
        return Refusal(codes.RESOURCE_EXHAUSTED, too_large(size, most_bytes))
    encoding = fields.get(b"grpc-encoding", b"identity")
    if encoding != b"identity":
        return Refusal(codes.UNIMPLEMENTED, codes.COMPRESSED)
    return _request(fields, headers)


def _request(fields: dict[bytes, bytes], headers: RawHeaders) -> Request | Refusal:
    try:
        timeout_s = _timeout_s(fields.get(b"grpc-timeout"))
        path = fields.get(b":path", b"").decode("ascii")
        # Nobody asks for what else it says, but it is to be said as gRPC does.
        read_metadata(headers)
        return Request(path, timeout_s)
    except (ValueError, binascii.Error):
        text = "MALFORMED_MESSAGE: a header isn't what gRPC says (timeout, ASCII, base64)"
        return Refusal(codes.INVALID_ARGUMENT, text)


def read_trailers(headers: RawHeaders) -> Trailers:
    """How the server says that the call ended; without a `grpc-status`, by HTTP's."""
    fields = {name: value.decode("latin-1") for name, value in headers}
    http = fields.get(b":status", "200")
    status = fields.get(b"grpc-status", "")
    if not status.isascii() or not status.isdigit():
        text = f"the answer carries no grpc-status (HTTP {http[:8]})"
        return Trailers(codes.of_http(http), text, [])
    message = unquote(fields.get(b"grpc-message", ""), errors="replace")
    return Trailers(int(status[:4]), message, read_lenient(headers))


def read_metadata(headers: RawHeaders) -> Metadata:
    """The entries that aren't gRPC's own; `ValueError` where one can't be read."""
    found: Metadata = []
    for raw_name, value in headers:
        name = raw_name.decode("ascii")
        if name.startswith(":") or name in _NO_METADATA:
            continue
        if name.endswith("-bin"):
            found.extend((name, _from_base64(piece)) for piece in value.split(b","))
        else:
            found.append((name, value.decode("ascii")))
    return found


def read_lenient(headers: RawHeaders) -> Metadata:
    """The entries that aren't gRPC's own and can be read."""
    found: Metadata = []
    for entry in headers:
        try:
            found.extend(read_metadata((entry,)))
        except (ValueError, binascii.Error):
            continue
    return [(name, value) for name, value in found if name not in ("grpc-status", "grpc-message")]


def _from_base64(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)


def _written(metadata: Given) -> Written:
    return [(name.encode("ascii"), _value(name, value)) for name, value in metadata]


def _value(name: str, value: str | bytes) -> bytes:
    data = value.encode("ascii") if isinstance(value, str) else bytes(value)
    return base64.b64encode(data).rstrip(b"=") if name.endswith("-bin") else data


def _timeout_s(text: bytes | None) -> float | None:
    if text is None:
        return None
    found = _TIMEOUT.match(text.decode("ascii"))
    if found is None:
        raise ValueError("grpc-timeout isn't up to eight digits and a unit")
    return int(found[1]) * _UNIT_S[found[2]]


def _escaped(message: str) -> bytes:
    data = message.encode("utf-8", errors="replace")
    return b"".join(b"%c" % byte if byte in _PLAIN else b"%%%02X" % byte for byte in data)
