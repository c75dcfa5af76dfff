"""Where an instance's shares are placed: the question, the answer, and who answers. (Brain)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from eais.device_type import DeviceType
from eais.share_units import Taken, unit_for
from eais_pool.brain.host_records import ModelLoad
from eais_pool.brain.records import SharePick


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be placed, and whose it is."""

    tenant: str
    type: DeviceType


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device and what of it is FREE.

    Attributes:
        model: as its maker calls it.
        taken: the shares that aren't FREE.
        runtimes: what runs models there, such as "onnxruntime/fp32".
        attach_ms, loads: see `DeviceRecord`.
    """

    id: str
    kind: str
    capacity_milli: int
    granularity_milli: int
    share_limit_milli: int
    free_milli: int
    model: str = ""
    simulated: bool = False
    runtimes: tuple[str, ...] = ()
    taken: tuple[Taken, ...] = ()
    attach_ms: int = 0
    loads: tuple[ModelLoad, ...] | None = None

    def has_room(self, milli: int) -> bool:
        """Whether one share of `milli` could be had now."""
        found = unit_for(milli, self.capacity_milli, self.taken)
        return self.free_milli >= milli and found is not None


@dataclass(frozen=True, slots=True)
class HostView:
    """A host to place on.

    Attributes:
        open: it takes a lease of this instance now; others are listed so that what is
            full can be told from what can never be.
        isolation: the level that it gives its workers.
        tenants: whose leases are on it.
    """

    host: str
    open: bool
    isolation: int
    tenants: frozenset[str]
    devices: tuple[DeviceView, ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """Shares of one host's devices, and why these, in words.

    `weighed`: all that were considered, if there were any to choose from. `provisional`: nothing
    was known of any of them.
    """

    host: str
    shares: tuple[SharePick, ...]
    why: str
    weighed: tuple[str, ...] = ()
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """No placement: a reason of the error table, and why, in words.

    `NO_DEVICE` says that the same ask may be granted later.
    """

    reason: str
    message: str


class Policy(Protocol):
    """Decides placements; keeps nothing between two questions."""

    def place(self, ask: Ask, hosts: Sequence[HostView]) -> Placement | Refusal:
        """Shares for `ask` on one of `hosts`, which come in order of their names."""
        ...
