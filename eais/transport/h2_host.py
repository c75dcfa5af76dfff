"""What the connections of one server share, and what bounds each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar

from eais.channel import SERVER_KEEPALIVE, SLOW_CONSUMER_S
from eais.identity import Peer
from eais.rpc.guard import Guard
from eais.transport.h2.assembly import Unfinished
from eais.transport.h2.limits import H2Limits
from eais.transport.lookout import Lookout

C = TypeVar("C")

# Of one connection in one turn of the event loop, there being others.
READ_BYTES: Final = 256 << 10
# Of all: as much as the answers of all may be.
UNFINISHED_BYTES: Final = 1 << 30

SERVER_LIMITS: Final = H2Limits(
    keepalive_every_s=SERVER_KEEPALIVE.every_ms / 1000,
    keepalive_wait_s=SERVER_KEEPALIVE.wait_ms / 1000,
    stall_s=SLOW_CONSUMER_S,
)
# Of a peer for whom there is nothing here but answers that say so.
REFUSED_LIMITS: Final = replace(
    SERVER_LIMITS, streams=16, message_bytes=1 << 20, stream_window=65_535, connection_window=65_535
)


@dataclass(frozen=True, slots=True)
class Host(Generic[C]):
    """What the connections of a server, which are `C`, share.

    Attributes:
        guards: of what is served, by path.
        admitted: who showed this leaf, DER; raises EaisError for a peer whose calls are to be
            refused so, for a while.
        opened: a connection is past its handshake; raises as `admitted`.
        closed: a connection is no more.
        may_shake: whether there is time for one more step of a handshake in this turn of the
            event loop: it takes as long as many calls.
        lookout: told what is heard and said, of which more may come soon.
        complain: says in the log what a peer did wrong, within bounds.
        handshake_s: how long one may take.
        message_bytes: the largest messages of calls, by path, where they are smaller than any.
        room: what is read into, by one connection at a time.
        unfinished: what all have of messages that aren't whole.
    """

    loop: asyncio.AbstractEventLoop
    guards: Mapping[str, Guard]
    admitted: Callable[[bytes], Peer]
    opened: Callable[[C, Peer], None]
    closed: Callable[[C], None]
    may_shake: Callable[[], bool]
    lookout: Lookout
    complain: Callable[[str], None]
    handshake_s: float
    message_bytes: Mapping[str, int]
    room: bytearray = field(default_factory=lambda: bytearray(READ_BYTES))
    unfinished: Unfinished = field(default_factory=lambda: Unfinished(UNFINISHED_BYTES))
