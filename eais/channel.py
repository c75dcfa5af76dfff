"""The one place where gRPC is tuned: channel and server options, message bounds.

Frozen peers are only noticed with keepalive time, keepalive time-out,
`grpc.http2.ping_timeout_ms` and `max_pings_without_data=0` together: the ping's own
time-out finds a peer from whom nothing is expected but the answer to a ping; keepalive's is
also the kernel's (TCP_USER_TIMEOUT), and finds one that takes no more of what is being sent,
behind which a ping would wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# A message on any stream; larger tensors and files are sent in pieces.
MAX_MESSAGE_BYTES: Final = 16 << 20
# All sessions of an instance: told to the pool in one message, and by the pool, in one as well,
# to the host that the instance moves to, with the names of their files once more.
MAX_SESSIONS_BYTES: Final = 6 << 20
# A tensor up to this size travels inside its Run or Answer.
INLINE_TENSOR_BYTES: Final = 256 << 10
# All tensors inside one Run or Answer together.
INLINE_BYTES: Final = 4 << 20
# One Piece of a larger tensor: small calls on the stream wait behind a few of them.
PIECE_BYTES: Final = 256 << 10
# The same in a ring, where a piece is copied in a tenth of a millisecond.
RING_PIECE_BYTES: Final = 1 << 20
# One chunk of a model file.
CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Keepalive:
    """A silent peer is asked after `every_ms`, and given up when it is silent for `wait_ms` more.

    A ping waits behind what the kernel has taken to send, and its answer behind what the peer's
    has, so `wait_ms` is also the time in which a link must get rid of that.
    """

    every_ms: int
    wait_ms: int


# Clients ask back-ends and managers: a frozen host is found in 3 s. A session's 200 MB through
# loopback in both directions, beside three busy processes on two cores, never took 0.5 s to answer
# a ping; links of 4 Mbit/s with 50 ms of buffer, and of 16 Mbit/s with 400 ms, keep within 2 s
# while they are full, and slower ones don't.
CLIENT_KEEPALIVE: Final = Keepalive(900, 2_000)
# Servers ask clients, for whom nobody waits, and whose machines may be overloaded: sixteen busy
# processes on two cores once took 5 s to answer amid 200 MB. One that died is known by its
# connection's end.
SERVER_KEEPALIVE: Final = Keepalive(5_000, 15_000)
# Between manager and listener, where little is sent that an answer would have to wait behind.
LINE_KEEPALIVE: Final = Keepalive(800, 800)
# More often than any client of ours asks; who asks more often than that is sent away.
_PING_INTERVAL_MS: Final = 400

# Of a client that takes nothing of what is there for it, on a stream of the data plane.
SLOW_CONSUMER_S: Final = 30.0

HANDSHAKE_TIMEOUT_MS: Final = 5_000
MAX_STREAMS_PER_CONNECTION: Final = 1_024

# What strangers may hold of a server that knows nobody: connections and streams of each, a
# message, and how long. Joining takes one connection and one call, for less than a second.
STRANGERS: Final = 256
# Not fewer: streams that a client begins before it has heard of the limit are reset.
_STREAMS_OF_A_STRANGER: Final = 16
STRANGERS_MESSAGE_BYTES: Final = 128 << 10
_STRANGERS_IDLE_MS: Final = 5_000
_STRANGERS_STAY_MS: Final = 30_000

Options = list[tuple[str, str | int]]

_COMMON: Options = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
]


def _keepalive(keepalive: Keepalive) -> Options:
    return [
        ("grpc.keepalive_time_ms", keepalive.every_ms),
        ("grpc.keepalive_timeout_ms", keepalive.wait_ms),
        ("grpc.http2.ping_timeout_ms", keepalive.wait_ms),
    ]


def client_options(server_name: str, keepalive: Keepalive = CLIENT_KEEPALIVE) -> Options:
    """Options of a channel to the server whose certificate carries `server_name`.

    Retries belong to the client library, so gRPC's own are off; a channel
    never shares a connection with another one's credentials.
    """
    return [
        *_COMMON,
        *_keepalive(keepalive),
        ("grpc.ssl_target_name_override", server_name),
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 50),
        # How long one connection attempt may take, TLS handshake included: not a wait.
        ("grpc.min_reconnect_backoff_ms", HANDSHAKE_TIMEOUT_MS),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.enable_http_proxy", 0),
    ]


def server_options(keepalive: Keepalive = SERVER_KEEPALIVE) -> Options:
    """Options of every server; ports are never shared with another process."""
    return [
        *_COMMON,
        *_keepalive(keepalive),
        ("grpc.so_reuseport", 0),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
        ("grpc.max_concurrent_streams", MAX_STREAMS_PER_CONNECTION),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_INTERVAL_MS),
        ("grpc.http2.max_ping_strikes", 3),
    ]


def open_server_options(idle_ms: int = _STRANGERS_IDLE_MS) -> Options:
    """Options of a server that whoever comes may call.

    Its process serves others too, on sockets of their own, and strangers are to take neither its
    descriptors nor its memory: whoever calls nothing for `idle_ms` is sent away, all are after
    half a minute, and there are never more than `STRANGERS` (grpcio 1.62 doesn't count them).
    """
    narrower: Options = [
        ("grpc.max_receive_message_length", STRANGERS_MESSAGE_BYTES),
        ("grpc.max_concurrent_streams", _STREAMS_OF_A_STRANGER),
        ("grpc.max_allowed_incoming_connections", STRANGERS),
        ("grpc.max_connection_idle_ms", idle_ms),
        ("grpc.max_connection_age_ms", _STRANGERS_STAY_MS),
        ("grpc.max_connection_age_grace_ms", HANDSHAKE_TIMEOUT_MS),
    ]
    return list({**dict(server_options()), **dict(narrower)}.items())
