"""The one place where gRPC is tuned: channel and server options, message bounds.

Frozen peers are only noticed with keepalive time, keepalive time-out,
`grpc.http2.ping_timeout_ms` and `max_pings_without_data=0` together.
"""

from __future__ import annotations

from typing import Final

# A message on any stream; larger tensors and files are sent in pieces.
MAX_MESSAGE_BYTES: Final = 16 << 20
# A tensor up to this size travels inside its Run or Answer.
INLINE_TENSOR_BYTES: Final = 256 << 10
# All tensors inside one Run or Answer together.
INLINE_BYTES: Final = 4 << 20
# One Piece of a larger tensor, and one chunk of a model file.
PIECE_BYTES: Final = 1 << 20

KEEPALIVE_MS: Final = 5_000
# Between manager and listener, where little is sent that an answer would have to wait behind.
LINE_KEEPALIVE_MS: Final = 800
HANDSHAKE_TIMEOUT_MS: Final = 5_000
MAX_STREAMS_PER_CONNECTION: Final = 1_024

Options = list[tuple[str, str | int]]

_COMMON: Options = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
]


def _keepalive(every_ms: int) -> Options:
    """A silent peer is asked after `every_ms`, and given up after as long again."""
    return [
        ("grpc.keepalive_time_ms", every_ms),
        ("grpc.keepalive_timeout_ms", every_ms),
        ("grpc.http2.ping_timeout_ms", every_ms),
    ]


def client_options(server_name: str, keepalive_ms: int = KEEPALIVE_MS) -> Options:
    """Options of a channel to the server whose certificate carries `server_name`.

    Retries belong to the client library, so gRPC's own are off; a channel
    never shares a connection with another one's credentials.
    """
    return [
        *_COMMON,
        *_keepalive(keepalive_ms),
        ("grpc.ssl_target_name_override", server_name),
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 50),
        # How long one connection attempt may take, TLS handshake included: not a wait.
        ("grpc.min_reconnect_backoff_ms", HANDSHAKE_TIMEOUT_MS),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.enable_http_proxy", 0),
    ]


def server_options(keepalive_ms: int = KEEPALIVE_MS) -> Options:
    """Options of every server; ports are never shared with another process."""
    return [
        *_COMMON,
        *_keepalive(keepalive_ms),
        ("grpc.so_reuseport", 0),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
        ("grpc.max_concurrent_streams", MAX_STREAMS_PER_CONNECTION),
        ("grpc.http2.min_ping_interval_without_data_ms", keepalive_ms // 2),
        ("grpc.http2.max_ping_strikes", 3),
    ]
