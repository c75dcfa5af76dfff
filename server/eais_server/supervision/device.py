"""What is thought of a device, as one table. (Brain)

A device is *suspect* from when something failed there that may have been its doing until a check
says whether it was: a small known model that a fresh process runs there. One whose check fails
is *bad*, and stays so until another check of it passes, which an operator asks for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from eais.transition import TransitionTable
from eais_server.supervision.blame import Blame
from eais_server.supervision.held import Held

STRIKES: Final = 3
"""Errors of a device within `STRIKES_S`, after which it is bad though its checks pass."""
STRIKES_S: Final = 600.0
CHECK_TRIES: Final = 3
"""Checks in a row that say nothing of the device, as when somebody kills them."""


class DeviceHealth(StrEnum):
    """How a device stands."""

    HEALTHY = "ok"
    SUSPECT = "suspect"
    BAD = "bad"


class DeviceEvent(StrEnum):
    """What can happen to it."""

    FAULT = "fault"
    PASSED = "passed"
    FAILED = "failed"


_H = DeviceHealth
_E = DeviceEvent

DEVICE_TABLE: TransitionTable[DeviceHealth, DeviceEvent] = TransitionTable(
    "device",
    {
        (_H.HEALTHY, _E.FAULT): _H.SUSPECT,
        (_H.SUSPECT, _E.FAULT): _H.SUSPECT,
        (_H.BAD, _E.FAULT): _H.BAD,
        (_H.HEALTHY, _E.PASSED): _H.HEALTHY,
        (_H.SUSPECT, _E.PASSED): _H.HEALTHY,
        (_H.BAD, _E.PASSED): _H.HEALTHY,
        (_H.HEALTHY, _E.FAILED): _H.BAD,
        (_H.SUSPECT, _E.FAILED): _H.BAD,
        (_H.BAD, _E.FAILED): _H.BAD,
    },
)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A death that counts against a model, if its device passes the check."""

    held: Held
    verdict: Blame


@dataclass(slots=True)
class Device:
    """A device that is watched.

    Attributes:
        hosted: a process of this host serves it, which is what is checked.
        why: it is suspect or bad.
        wanted: a check of it is to be made.
        checker: the worker that makes it, 0 for none; `busy`: one is being made.
        tries: checks in a row that said nothing.
        strikes: when it failed, within the last `STRIKES_S`.
        doubts: what its next check decides.
    """

    id: str
    hosted: bool = False
    health: DeviceHealth = DeviceHealth.HEALTHY
    why: str = ""
    wanted: bool = False
    checker: int = 0
    busy: bool = False
    tries: int = 0
    strikes: list[float] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)

    def moved(self, event: DeviceEvent, why: str = "") -> bool:
        """Take the event in; whether that is news."""
        before = self.health, self.why
        self.health = DEVICE_TABLE.after(self.health, event)
        self.why = "" if self.health is DeviceHealth.HEALTHY else why or self.why
        return before != (self.health, self.why)
