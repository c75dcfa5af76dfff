"""What is asked for: so much of so many devices of one node, cores and memory. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: What one number of a demand or a node may be at most.
NUMBER_MOST: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Shape:
    """What a demand takes; demands of one shape are alike to a node.

    Attributes:
        cpu_milli: cores, in thousandths.
        memory_mib: of the node's own memory.
        devices: how many, all of one node; 0: none.
        milli: of each device, in milli-devices; 0 without devices.
        models: the device models that will do; empty: any.
    """

    cpu_milli: int
    memory_mib: int = 0
    devices: int = 0
    milli: int = 0
    models: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name in ("cpu_milli", "memory_mib", "devices", "milli"):
            if not 0 <= getattr(self, name) <= NUMBER_MOST:
                raise ValueError(f"{name} = {getattr(self, name)}: must be 0 to {NUMBER_MOST}")
        if bool(self.devices) is not bool(self.milli):
            raise ValueError(
                f"{self.devices} devices of {self.milli} milli each: both or neither are asked for"
            )
        if self.models and not self.devices:
            raise ValueError(f"models = {sorted(self.models)}: are of no use without devices")

    @property
    def device_milli(self) -> int:
        """Milli-devices in all."""
        return self.devices * self.milli


@dataclass(frozen=True, slots=True)
class Demand:
    """Somebody's demand, with what it says of its neighbours.

    Attributes:
        id: names it as long as it is placed.
        tenant: whose quota it counts against.
        group: what it is one of, such as the workers of one instance; empty: of none.
        spread: at most so many of its group on one node; 0: any number.
        near: a group whose nodes it goes to before any other, if one of them has room.
    """

    id: str
    shape: Shape
    tenant: str = ""
    group: str = ""
    spread: int = 0
    near: str = ""

    def __post_init__(self) -> None:
        if self.spread < 0:
            raise ValueError(f"spread = {self.spread}: must not be negative")
        if self.spread and not self.group:
            raise ValueError("spread: is of a group, and there is none")
