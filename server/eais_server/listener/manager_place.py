"""Where the manager's management plane is, and where this host is itself, as a file says.

Beside an embedded pool's manager that is the file which the manager writes when it serves. A
host of its own has `joined.json` in its listener's directory, written when it joined: the same,
and the address at which its instances are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from eais.errors import make_error

JOINED_FILE: Final = "joined.json"


@dataclass(frozen=True, slots=True)
class ManagerPlace:
    """Where the manager's management plane is, and the DNS name of its certificate."""

    pool: str
    address: str
    port: int
    server_name: str

    @property
    def target(self) -> str:
        """As gRPC is told it."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    @classmethod
    def read(cls, path: Path) -> ManagerPlace:
        """From the file that the manager writes when it serves, or that joining wrote.

        Raises:
            EaisError: POOL_NOT_RUNNING, there is none yet; CONFIG, it isn't one.
        """
        try:
            record = _record(path)
            plane = record["management"]
            return cls(record["pool"], plane["address"], int(plane["port"]), plane["server_name"])
        except FileNotFoundError:
            raise make_error("POOL_NOT_RUNNING", "the manager doesn't serve yet") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise make_error("CONFIG", f"{path} names no manager: {error!r}") from None


def own_address(path: Path) -> str:
    """The address that this host was to have when it joined; "" if the file doesn't say."""
    try:
        found = _record(path).get("address", "")
    except (OSError, ValueError, AttributeError):
        return ""
    return found if isinstance(found, str) else ""


def _record(path: Path) -> Any:
    return json.loads(path.read_text())
