"""What the listener says of itself in a file, for whoever is on its host: `status.json`.

Written when it changes, at most four times a second; not synced, since it is of this process
alone. `eais listener up` waits for it, `eais listener status` shows it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from eais import files
from eais.errors import EaisError
from eais_server.listener.host import Host
from eais_server.listener.link import Link
from eais_server.listener.place import Place

log = logging.getLogger(__name__)

STATUS_FILE: Final = "status.json"
_EVERY_S: Final = 0.25


def status(host: Host, place: Place, link: Link) -> dict[str, Any]:
    """The listener as it is now."""
    return {
        "pid": os.getpid(),
        "pool": host.pool,
        "host": host.name,
        "address": place.address,
        "user_port": place.user_port,
        "management_port": place.management_port,
        "instances": sorted(host.admission.leases),
        "joined": link.joined.is_set(),
        "fault": _fault(link.fault),
    }


def _fault(error: EaisError | None) -> dict[str, str] | None:
    """Why there is no line to the manager."""
    if error is None:
        return None
    return {"reason": error.reason, "text": error.message, "hint": error.hint}


class SelfReport:
    """Keeps the file at `path` as `ask` says."""

    def __init__(self, path: Path, ask: Callable[[], dict[str, Any]]) -> None:
        self._path = path
        self._ask = ask
        self._said: dict[str, Any] = {}
        self._fails = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.once()
            await asyncio.sleep(_EVERY_S)

    def once(self) -> None:
        """Write it if it has changed; a disk that fails is tried again."""
        found = self._ask()
        if found == self._said:
            return
        try:
            self._write(json.dumps(found).encode())
        except OSError as error:
            if not self._fails:
                log.error("%s can't be written: %s", self._path.name, error)
            self._fails = True
            return
        self._said, self._fails = found, False

    def _write(self, data: bytes) -> None:
        part = self._path.with_name(f".{self._path.name}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(part, flags, files.PRIVATE_FILE)
        try:
            files.write_all(fd, data, 0)
        finally:
            os.close(fd)
        part.rename(self._path)
