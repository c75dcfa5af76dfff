"""Where an instance's shares are placed: the question, the answer, and who answers. (Brain)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from eais.device_type import DeviceType
from eais.share_units import Taken, unit_for
from eais_pool.brain.host_records import ModelLoad
from eais_pool.brain.records import SharePick
from eais_pool.policy.asked import Counts

#: Below this level workers of two tenants on one host aren't kept apart.
SHARED_HOST_ISOLATION: Final = 2

GRADIENT: Final = "gradient"
BEST_FIT: Final = "best-fit"
POLICIES: Final = (GRADIENT, BEST_FIT)
"""Names of the policies that there are."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be placed, and whose it is.

    Attributes:
        without: kinds of device that it mustn't have.
        only: the devices that will do, by host and id; None: any.
        learned: what was asked for so far; see `asked`.
    """

    tenant: str
    type: DeviceType
    without: frozenset[str] = frozenset()
    only: frozenset[tuple[str, str]] | None = None
    learned: Counts = ()


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

    def may_serve(self, tenant: str) -> bool:
        """Whether it keeps tenants apart well enough to serve this one too."""
        return self.isolation >= SHARED_HOST_ISOLATION or self.tenants <= {tenant}


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
    """Decides placements; keeps nothing between two questions but what it could work out again."""

    def place(self, ask: Ask, hosts: Sequence[HostView]) -> Placement | Refusal:
        """Shares for `ask` on one of `hosts`, which come in order of their names.

        A host that is as it was is best given as the same view: just others are looked at anew.
        """
        ...
