"""What the pool knows of its hosts, as frozen records; see `records`. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from eais_pool.brain.net_records import NetOffer


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens; its DNS name follows from whose it is."""

    address: str
    port: int


HEALTHS: Final = ("ok", "suspect", "bad")
"""What hosts say of their devices."""
CHECKING: Final = "checking"


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """A model that can be loaded onto a device for which models need an image.

    Attributes:
        model: its SHA-256 in hex, as of profiles.
        ready_milli: the largest share that would find it loaded, were it granted now.
    """

    model: str
    load_ms: int
    ready_milli: int = 0


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device as its host last described it.

    Attributes:
        present: the host still has it; an absent one is kept while shares of it are open.
        overdrawn: the host offers less of it now than the pool had granted before.
        runtimes: what runs models there, such as "onnxruntime/fp32".
        health: one of `HEALTHS` as its host says, or `CHECKING` while that is asked; `why` it
            isn't ok.
        attach_ms: until a share of it can serve, beside what it takes to load a model.
        loads: what can be loaded, onto a device for which models need an image; None: it isn't
            such a one, or has yet to say.
        enforcement: how shares are; `piece_enforcement`: those below a whole, "" if it is the same.
        unenforced: why no share of it can be enforced, so that nothing is granted there.
    """

    id: str
    kind: str
    model: str
    memory_bytes: int
    capacity_milli: int
    granularity_milli: int
    share_limit_milli: int
    simulated: bool
    enforcement: str
    present: bool = True
    overdrawn: bool = False
    runtimes: tuple[str, ...] = ()
    health: str = "ok"
    why: str = ""
    attach_ms: int = 0
    loads: tuple[ModelLoad, ...] | None = None
    piece_enforcement: str = ""
    unenforced: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether nothing is to stay there."""
        return self.health == "bad" and self.present


@dataclass(frozen=True, slots=True)
class HostRecord:
    """A back-end; `reachable` while its listener's link to the manager is up.

    Attributes:
        cordoned: it is given no new lease.
        draining: its instances are moved to other hosts; it is cordoned, too.
        vnic_driver, vnic_address: what makes its instances' vNICs; with "host" all of them are
            at that address, which is never "" then.
        management_plane: for operators, and listeners that fetch models; None before it said.
        away_at: when it couldn't be reached any more, last; boot clock.
        net: what its network agent offers; None without one.
    """

    host: str
    boot_id: str
    user_plane: Endpoint
    isolation: int
    isolation_reason: str
    devices: tuple[DeviceRecord, ...]
    reachable: bool = True
    cordoned: bool = False
    draining: bool = False
    vnic_driver: str = "loopback"
    vnic_address: str = ""
    management_plane: Endpoint | None = None
    away_at: float = 0.0
    net: NetOffer | None = None

    def device(self, device_id: str) -> DeviceRecord | None:
        """The device of that id, if the host has or had it."""
        return next((device for device in self.devices if device.id == device_id), None)
