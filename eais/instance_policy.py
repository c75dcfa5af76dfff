"""What an instance is to do beside running models, as its tenant said when it was made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from eais.errors import UsageError
from eais.neighbours import ANYWHERE, Neighbours
from eais.net.rate import checked_cap
from eais.ratio import UNSAID, RatioPolicy
from eais.tolerance import Tolerance

MOST_SLO_US: Final = 3_600_000_000
MOST: Final = 1e9
"""Of calls a second, and of a price."""
_UNITS: Final = {"us": 1, "ms": 1_000, "s": 1_000_000}
_DURATION: Final = re.compile(r"(\d{1,10}(?:\.\d{1,6})?)\s*(us|ms|s)")


class RingPolicy(StrEnum):
    """Who may share memory with an instance's workers, on the same host."""

    AUTO = "auto"
    """The user that the workers run as."""
    ON = "on"
    """Any user."""
    OFF = "off"
    """Nobody."""


@dataclass(frozen=True, slots=True)
class InstancePolicy:
    """The policy of one instance.

    Attributes:
        ring: who may share memory with its workers.
        slo_p99_us: 99 of 100 calls should take no longer at the worker; 0: nothing was asked.
        tolerance: how far its answers may be from the CPU provider's, as it was asked for; None:
            as its type has it, or that was settled when it was made.
        rate_per_s: calls a second that are expected, for the choice of `auto`; 0: not said.
        price_cap_per_h: what `auto` may cost an hour at most, as prices are counted; 0: anything.
        ratio: of CPU to accelerator.
        neighbours: beside whom it is to be.
        vnic_cap_bytes_per_s: of its vNIC, each way; 0: none.
    """

    ring: RingPolicy = RingPolicy.AUTO
    slo_p99_us: int = 0
    tolerance: Tolerance | None = None
    rate_per_s: float = 0.0
    price_cap_per_h: float = 0.0
    ratio: RatioPolicy = UNSAID
    neighbours: Neighbours = ANYWHERE
    vnic_cap_bytes_per_s: int = 0

    @property
    def is_default(self) -> bool:
        """Whether it is what an instance has of which nothing was said."""
        return self == DEFAULT_POLICY

    @classmethod
    def checked(
        cls,
        ring: str,
        slo_p99_us: int,
        tolerance: str = "",
        rate_per_s: float = 0.0,
        price_cap_per_h: float = 0.0,
        ratio: RatioPolicy = UNSAID,
        neighbours: Neighbours = ANYWHERE,
        vnic_cap_bytes_per_s: int = 0,
    ) -> InstancePolicy:
        """What was said, "" and 0 for nothing; `UsageError` ARGUMENT for what can't be."""
        for name, value in (("rate", rate_per_s), ("price_cap", price_cap_per_h)):
            if not 0 <= value <= MOST:
                raise UsageError("ARGUMENT", f"{name} is a number from 0 to {MOST:g}, not {value}")
        if slo_p99_us > MOST_SLO_US:
            raise UsageError("ARGUMENT", "slo_p99 is at most an hour")
        wanted = Tolerance.checked(tolerance) if tolerance else None
        try:
            shared = RingPolicy(ring or "auto")
        except ValueError:
            text = f"ring is auto, on or off, not {ring[:32]!a}"
            raise UsageError("ARGUMENT", text) from None
        cap = checked_cap(vnic_cap_bytes_per_s) if vnic_cap_bytes_per_s else 0
        said = (rate_per_s, price_cap_per_h, ratio, neighbours, cap)
        return cls(shared, slo_p99_us, wanted, *said)


DEFAULT_POLICY: Final = InstancePolicy()


def slo_us(text: str) -> int:
    """Microseconds of "50ms", "0.5s", "800us"; `UsageError` ARGUMENT for anything else."""
    found = _DURATION.fullmatch(text.strip())
    value = round(float(found[1]) * _UNITS[found[2]]) if found else 0
    if not 0 < value <= MOST_SLO_US:
        raise UsageError(
            "ARGUMENT", f"slo_p99 is a time such as 50ms or 0.5s, up to an hour, not {text[:32]!a}"
        )
    return value


def slo_text(slo_p99_us: int) -> str:
    """As people write it: "50ms", "0.8ms"."""
    return f"{slo_p99_us / 1000:g}ms"
