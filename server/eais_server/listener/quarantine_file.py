"""Which models killed workers, on disk: `quarantine.json` in the listener's directory, sealed.

Written whole and synced before a refusal that follows from it is said. Ends are kept as times
of day, since the listener's clock doesn't outlive the host; whatever that clock is set to, a
model isn't kept out for longer than the listener's settings say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from eais import files
from eais.sealed import Damaged, seal, unseal
from eais_server.supervision.quarantine import Model, Record

log = logging.getLogger(__name__)

_LARGEST: Final = 64 << 20


class QuarantineFile:
    """One listener's file; one process writes it, one call at a time.

    Args:
        quarantine_s: the longest that a record may last.
        clock: seconds, monotonic, which the records' ends are of.
        now: the time of day, aware.
        disk: does what changes the disk.
    """

    def __init__(
        self,
        path: Path,
        quarantine_s: float,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        disk: files.DiskOps = files.DISK,
    ) -> None:
        self._path = path
        self._quarantine_s = quarantine_s
        self._clock = clock
        self._now = now
        self._disk = disk
        files.remove_leftovers_of(path)

    def save(self, records: Iterable[Record]) -> None:
        """Make the records durable, in the place of those before; raises OSError."""
        ahead_s = self._now().timestamp() - self._clock()
        rows = [_row(record, ahead_s) for record in records]
        files.replace_file(self._path, seal({"models": rows}), disk=self._disk)

    def load(self) -> list[Record]:
        """The records that aren't over yet; none, said in the log, if the file is damaged."""
        if not self._path.exists():
            return []
        try:
            rows = unseal(files.read_private(self._path, _LARGEST))["models"]
            found = [self._record(row) for row in rows]
        except (Damaged, OSError, KeyError, TypeError, ValueError) as error:
            log.error("%s is damaged and put aside: %s", self._path, error)
            self._put_aside()
            return []
        return [record for record in found if record.ends_at > self._clock()]

    def _record(self, row: dict[str, Any]) -> Record:
        left_s = float(row["ends"]) - self._now().timestamp()
        return Record(
            model=Model(str(row["tenant"]), str(row["digest"])),
            loads=int(row["loads"]),
            runs=int(row["runs"]),
            stage="load" if row["stage"] == "load" else "run",
            how={str(key): str(value) for key, value in row["how"].items()},
            ends_at=self._clock() + min(left_s, self._quarantine_s),
        )

    def _put_aside(self) -> None:
        try:
            self._disk.rename(self._path, self._path.with_name(f"{self._path.name}.damaged"))
        except OSError as error:
            log.error("%s can't be put aside: %s", self._path, error)


def _row(record: Record, ahead_s: float) -> dict[str, Any]:
    return {
        "tenant": record.model.tenant,
        "digest": record.model.digest,
        "loads": record.loads,
        "runs": record.runs,
        "stage": record.stage,
        "how": dict(record.how),
        "ends": record.ends_at + ahead_s,
    }
