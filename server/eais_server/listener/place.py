"""Where this listener is reached: its two ports, kept, and bound again after a restart."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from eais import files
from eais.sealed import Damaged, seal, unseal

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """The address of both planes and the port of each; port 0: let the kernel choose."""

    address: str
    user_port: int = 0
    management_port: int = 0


def load_place(path: Path, address: str) -> Place:
    """The place that was kept, if at `address` ("": any); else one whose ports are to be chosen."""
    try:
        place = Place(**unseal(files.read_private(path)))
    except FileNotFoundError:
        return Place(address)
    except (Damaged, OSError, TypeError) as error:
        log.error("%s can't be used, the ports are chosen anew: %s", path, error)
        return Place(address)
    return place if address in ("", place.address) else Place(address)


def save_place(path: Path, place: Place) -> None:
    """Make the place durable; raises OSError."""
    files.replace_file(path, seal(asdict(place)))
