"""What one connection may hold and how often its peer may do what costs more than it gives.

(Brain.) The defaults are a worker's and its clients'.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from eais.channel import HANDSHAKE_TIMEOUT_MS, MAX_MESSAGE_BYTES, MAX_STREAMS_PER_CONNECTION


class Role(enum.Enum):
    """Which end of the connection an engine is."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` at once, then `per_s` a second."""

    burst: int
    per_s: float


@dataclass(frozen=True, slots=True)
class H2Limits:
    """Bounds of one connection; sizes in bytes, times in seconds."""

    # The largest gRPC message that is read, without its five-byte prefix.
    message_bytes: int = MAX_MESSAGE_BYTES
    # All messages together that have begun to arrive and aren't whole.
    unfinished_bytes: int = 64 << 20
    # What the peer may send on a stream before it is given credit again, and on all streams.
    stream_window: int = 1 << 20
    connection_window: int = 16 << 20
    # The largest frame that the peer may send.
    frame_bytes: int = 1 << 20
    # A stream that has this much waiting to be sent isn't `ready` for its next message.
    send_ahead: int = 512 << 10
    streams: int = MAX_STREAMS_PER_CONNECTION
    # A request's header list above this is refused, as grpcio does above its soft limit.
    request_header_bytes: int = 8 << 10
    # What we announce, and the most of an answer's; each entry counts 32 more (RFC 9113, 6.5.2).
    header_list_bytes: int = 16 << 10
    # Compressed headers of one block, and the frames that they may come in.
    header_block_bytes: int = 32 << 10
    header_frames: int = 16
    # Decoded headers above this are an attack, not a mistake: the connection ends.
    header_bomb_bytes: int = 128 << 10
    # Streams that the peer resets, or that are refused because of what it sent.
    resets: Rate = Rate(200, 100.0)
    pings: Rate = Rate(100, 10.0)
    settings: Rate = Rate(20, 1.0)
    # Empty DATA, PRIORITY, frames of unknown types, answers to questions that nobody asked.
    pointless: Rate = Rate(200, 20.0)
    # WINDOW_UPDATE frames and DATA of closed streams, beyond four for each DATA frame of ours.
    updates: Rate = Rate(8_192, 1_000.0)
    # What control frames may wait for a peer that doesn't read.
    unsent_control_bytes: int = 256 << 10
    # What may wait on all streams together before none is `ready`.
    unsent_bytes: int = 32 << 20
    # How long what is sent may wait for a peer that takes nothing of it before that is said.
    stall_s: float = math.inf
    # How long a peer may take to say its settings, after `begin`.
    greeting_s: float = HANDSHAKE_TIMEOUT_MS / 1000
    # A silent peer is asked after `keepalive_every_s`, given up after `keepalive_wait_s` more.
    keepalive_every_s: float = math.inf
    keepalive_wait_s: float = math.inf
