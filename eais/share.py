"""The life of a device share, as one table. (Brain)

Reservation is a state of the pool and is never asked of the device. A share is
FREE again only when its old worker's exit was seen. LOST: its listener can't
be reached; it is granted to nobody until the listener returns and says whether
the lease is still there.
"""

from __future__ import annotations

from enum import StrEnum

from eais.transition import TransitionTable


class ShareState(StrEnum):
    """Where a device share stands."""

    FREE = "FREE"
    RESERVED = "RESERVED"
    GRANTED = "GRANTED"
    DRAINING = "DRAINING"
    LOST = "LOST"


class ShareEvent(StrEnum):
    """What can happen to a device share."""

    RESERVE = "reserve"
    GRANT = "grant"
    DRAIN = "drain"
    RELEASE = "release"
    LOSE = "lose"
    RETURN = "return"


_S = ShareState
_E = ShareEvent

SHARE_TABLE: TransitionTable[ShareState, ShareEvent] = TransitionTable(
    "device share",
    {
        (_S.FREE, _E.RESERVE): _S.RESERVED,
        (_S.RESERVED, _E.GRANT): _S.GRANTED,
        (_S.RESERVED, _E.DRAIN): _S.DRAINING,
        (_S.RESERVED, _E.RELEASE): _S.FREE,
        (_S.GRANTED, _E.DRAIN): _S.DRAINING,
        (_S.GRANTED, _E.RELEASE): _S.FREE,
        (_S.DRAINING, _E.RELEASE): _S.FREE,
        (_S.RESERVED, _E.LOSE): _S.LOST,
        (_S.GRANTED, _E.LOSE): _S.LOST,
        (_S.DRAINING, _E.LOSE): _S.LOST,
        (_S.LOST, _E.RETURN): _S.GRANTED,
        (_S.LOST, _E.DRAIN): _S.DRAINING,
        (_S.LOST, _E.RELEASE): _S.FREE,
    },
)
