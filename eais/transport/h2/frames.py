"""HTTP/2 frames as they lie on the wire: the nine bytes before each, and what we write ourselves.

(Brain.) Numbers are those of RFC 9113, section 6.
"""

from __future__ import annotations

import struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES: Final = 9
# gRPC's own header before each message: a compression flag and the length.
PREFIX_BYTES: Final = 5

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8

# RFC 9113, section 7.
NO_ERROR: Final = 0x0
PROTOCOL_ERROR: Final = 0x1
FLOW_CONTROL_ERROR: Final = 0x3
STREAM_CLOSED: Final = 0x5
FRAME_SIZE_ERROR: Final = 0x6
REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8
ENHANCE_YOUR_CALM: Final = 0xB

LARGEST_WINDOW: Final = (1 << 31) - 1
FIRST_WINDOW: Final = 65_535
SMALLEST_FRAME: Final = 16_384
STREAM_BITS: Final = (1 << 31) - 1

# Length (24 bits) and type in one number, flags, stream.
header_of = struct.Struct(">LBL").unpack_from
prefix_of = struct.Struct(">BL").unpack_from
number_of = struct.Struct(">L").unpack_from
pack_header = struct.Struct(">LBL").pack
pack_prefix = struct.Struct(">BL").pack
# A DATA frame's header and the prefix of the one message that it holds.
pack_message_header = struct.Struct(">LBLBL").pack
_pack_window_update = struct.Struct(">LBLL").pack
_pack_goaway = struct.Struct(">LBLLL").pack


class PeerFault(Exception):
    """The peer broke HTTP/2 or a limit: the connection ends with GOAWAY and this code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def window_update(stream: int, credit: int) -> bytes:
    """A WINDOW_UPDATE frame; `stream` 0 is the connection."""
    return _pack_window_update((4 << 8) | WINDOW_UPDATE, 0, stream, credit)


def goaway(last_stream: int, code: int, text: str = "") -> bytes:
    """A GOAWAY frame; `text` is for the peer's log."""
    debug = text.encode()[:128]
    return _pack_goaway(((8 + len(debug)) << 8) | GOAWAY, 0, 0, last_stream, code) + debug


def end_of_stream(stream: int) -> bytes:
    """An empty DATA frame that ends its stream: how h2 is told of an end that it didn't read."""
    return pack_header(DATA, END_STREAM, stream)


def without_padding(payload: memoryview) -> memoryview:
    """The data of a padded frame's payload; `PeerFault` if the padding is longer than it."""
    if not payload or payload[0] >= len(payload):
        raise PeerFault(PROTOCOL_ERROR, "a frame's padding is longer than the frame")
    return payload[1 : len(payload) - payload[0]]
