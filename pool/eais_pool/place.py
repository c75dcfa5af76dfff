"""What a manager keeps of its place: the pool's name, its addresses, its ports."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from eais import files
from eais.errors import ConfigError
from eais.identity import Identity
from eais.sealed import Damaged, seal, unseal
from eais_pool.brain.address_plan import AddressPlan

_FILE = "place.json"
_LOCK = "lock"
_NAME_LIMIT = 48


@dataclass(frozen=True, slots=True)
class Place:
    """Kept in `place.json`; a port of 0 is not chosen yet."""

    pool: str
    network: str
    user_port: int = 0
    management_port: int = 0
    enrolment_port: int = 0

    def __post_init__(self) -> None:
        Identity.manager(self.pool)
        AddressPlan(self.network).host(0)
        for port in (self.user_port, self.management_port, self.enrolment_port):
            if not 0 <= port < 1 << 16:
                raise ValueError(f"port {port}")


def new_pool_name(directory: Path) -> str:
    """A trust domain for the pool whose state is in `directory`: its name and 8 random digits."""
    plain = re.sub(r"[^a-z0-9_.-]+", "-", directory.name.lower()).lstrip("_.-")
    return f"{plain[:_NAME_LIMIT] or 'pool'}-{secrets.token_hex(4)}"


def load_place(directory: Path) -> Place | None:
    """The place kept in `directory`, None if there is none.

    Raises:
        ConfigError: STATE_DIR, when the file isn't one of ours.
    """
    path = directory / _FILE
    try:
        return Place(**unseal(files.read_private(path)))
    except FileNotFoundError:
        return None
    except (Damaged, OSError, ValueError, TypeError) as error:
        raise ConfigError(
            "STATE_DIR", f"{path}: {error}", hint="put the folder's back-up in its place"
        ) from None


def save_place(directory: Path, place: Place) -> None:
    """Keep `place`, durably. Raises OSError."""
    files.replace_file(directory / _FILE, seal(asdict(place)))


def lock(directory: Path) -> int:
    """Hold `directory` for this process's life; the descriptor to close at its end.

    Raises:
        ConfigError: LOCKED, when another process holds it.
    """
    fd = files.open_lock(directory / _LOCK)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise ConfigError("LOCKED", "another manager of this pool is running") from None
    return fd
