"""The life of an elastic accelerated instance, as one table. (Brain)

BINDABLE holds nothing. BOUND holds a front-end and an address. IN_USE holds a
lease on device shares and is billed; scaled to zero it is still IN_USE. It stays IN_USE
when it is *moved*: another lease takes the place of the one that it has.
Stopped is BOUND. Neighbours: an instance is *lost* (`REGRANT`) when its host
is, and *failed* when nobody can put it right but its owner.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from eais.errors import UsageError
from eais.transition import TransitionTable

_NAME: Final = re.compile(r"ei-[a-z0-9_-]{1,61}")


class InstanceState(StrEnum):
    """Where an instance stands; the names are those of `pool.proto`."""

    PENDING = "PENDING"
    CREATING = "CREATING"
    BINDABLE = "BINDABLE"
    BOUND = "BOUND"
    IN_USE = "IN_USE"
    DRAINING = "DRAINING"
    FAILED = "FAILED"
    DELETED = "DELETED"


class InstanceEvent(StrEnum):
    """What can happen to an instance."""

    ADMIT = "admit"
    CREATED = "created"
    BIND = "bind"
    GRANTED = "granted"
    REGRANT = "regrant"
    MOVED = "moved"
    DRAIN = "drain"
    STOPPED = "stopped"
    UNBIND = "unbind"
    DELETE = "delete"
    FAIL = "fail"


_S = InstanceState
_E = InstanceEvent

INSTANCE_TABLE: TransitionTable[InstanceState, InstanceEvent] = TransitionTable(
    "instance",
    {
        (_S.PENDING, _E.ADMIT): _S.CREATING,
        (_S.CREATING, _E.CREATED): _S.BINDABLE,
        (_S.BINDABLE, _E.BIND): _S.BOUND,
        (_S.BOUND, _E.GRANTED): _S.IN_USE,
        (_S.IN_USE, _E.REGRANT): _S.IN_USE,
        (_S.IN_USE, _E.MOVED): _S.IN_USE,
        (_S.IN_USE, _E.DRAIN): _S.DRAINING,
        (_S.DRAINING, _E.STOPPED): _S.BOUND,
        (_S.BOUND, _E.UNBIND): _S.BINDABLE,
        (_S.PENDING, _E.DELETE): _S.DELETED,
        (_S.CREATING, _E.DELETE): _S.DELETED,
        (_S.BINDABLE, _E.DELETE): _S.DELETED,
        (_S.FAILED, _E.DELETE): _S.DELETED,
        (_S.PENDING, _E.FAIL): _S.FAILED,
        (_S.CREATING, _E.FAIL): _S.FAILED,
        (_S.BOUND, _E.FAIL): _S.FAILED,
        (_S.IN_USE, _E.FAIL): _S.FAILED,
        (_S.DRAINING, _E.FAIL): _S.FAILED,
    },
)


def check_instance_name(name: str) -> str:
    """`name`, if it can be an instance's; else `UsageError` NAME."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            "NAME", f"{name[:64]!a} is no instance's name: ei-, then 1 to 61 of a-z 0-9 _ -"
        )
    return name
