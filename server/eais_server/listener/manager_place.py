"""Where the manager's management plane is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from eais.errors import make_error


@dataclass(frozen=True, slots=True)
class ManagerPlace:
    """Where the manager's management plane is, and the DNS name of its certificate."""

    pool: str
    address: str
    port: int
    server_name: str

    @classmethod
    def read(cls, path: Path) -> ManagerPlace:
        """From the file that the manager writes when it serves.

        Raises:
            EaisError: POOL_NOT_RUNNING, there is none yet; CONFIG, it isn't one.
        """
        try:
            record = json.loads(path.read_text())
            plane = record["management"]
            return cls(record["pool"], plane["address"], int(plane["port"]), plane["server_name"])
        except FileNotFoundError:
            raise make_error("POOL_NOT_RUNNING", "the manager doesn't serve yet") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise make_error("CONFIG", f"{path} names no manager: {error!r}") from None
