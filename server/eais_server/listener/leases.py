"""The listener's durable memory: leases, workers' keys, session specs and counters.

Below the listener's own directory, each file written whole and synced before
anything that depends on it is said:

    leases/<instance>.json    the lease, sealed
    leases/<instance>.<n>.pem key, leaf and CA of its worker n
    specs/<instance>.json     the sessions that its workers are rebuilt from, sealed
    usage/<instance>.json     its counters, sealed; replaced each second, not synced

A file that is damaged is put aside as `<name>.damaged` and said in the log. A
lease that lacks a part is no lease: it is not among those that `leases` gives,
so the pool hears that it is gone and grants it again.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from eais import files, tls
from eais.errors import IdentityError, UsageError
from eais.sealed import Damaged, seal, unseal
from eais_server.listener.lease import Lease, Share
from eais_server.listener.sessions import KeptSession
from eais_server.listener.usage import Counters, UsageRecord

log = logging.getLogger(__name__)
R = TypeVar("R")

_INSTANCE = re.compile(r"ei-[a-z0-9_-]{1,61}")
_LARGEST = 256 << 20


def check_instance(name: str) -> str:
    """`name`, if it can be an instance's; else `UsageError` NAME."""
    if not _INSTANCE.fullmatch(name):
        raise UsageError("NAME", f"{name[:64]!r} is no instance name")
    return name


class ListenerFiles:
    """The files of one listener; one process writes them, one call at a time."""

    def __init__(self, root: Path) -> None:
        """Raises OSError (`eais.files.UnsafePath`) when `root` can't be used."""
        self._leases = files.private_dir(root / "leases")
        self._specs = files.private_dir(root / "specs")
        self._usage = files.private_dir(root / "usage")
        for directory in (self._leases, self._specs, self._usage):
            files.remove_leftovers(directory)
        self._remove_orphans()

    def _remove_orphans(self) -> None:
        """Remove the keys and counters of leases that are gone, or never came to be."""
        known = {path.name.partition(".json")[0] for path in self._leases.glob("*.json*")}
        for path in (*self._leases.glob("*.pem"), *self._usage.glob("*.json")):
            if path.name.partition(".")[0] not in known:
                path.unlink(missing_ok=True)

    # leases

    def save_lease(self, lease: Lease) -> None:
        """Make `lease` durable, in the place of what was known of it; raises OSError."""
        files.replace_file(self._lease(lease.instance), seal(asdict(lease)))

    def remove_lease(self, instance: str) -> None:
        """Make durable that the lease is gone, with its keys and counters; raises OSError."""
        self._lease(instance).unlink(missing_ok=True)
        files.sync_dir(self._leases)
        for leaf in self._leases.glob(f"{instance}.*.pem"):
            leaf.unlink(missing_ok=True)
        self._usage_file(instance).unlink(missing_ok=True)

    def leases(self) -> Iterator[tuple[Lease, dict[int, tls.Bundle]]]:
        """All whole leases, each with the keys and leaves of its workers."""
        for path in sorted(self._leases.glob("*.json")):
            lease = _read(path, _lease_of)
            leaves = self._leaves(lease) if lease else None
            if lease and leaves is not None:
                yield lease, leaves

    # keys and leaves of workers

    def save_leaf(self, instance: str, n: int, bundle: tls.Bundle) -> None:
        """Make a worker's key and leaf durable, 0600; raises OSError."""
        tls.save_bundle(self._leaf(instance, n), bundle)

    def _leaves(self, lease: Lease) -> dict[int, tls.Bundle] | None:
        try:
            return {s.n: tls.load_bundle(self._leaf(lease.instance, s.n)) for s in lease.shares}
        except IdentityError as error:
            log.error("the lease of %s is lost, its key is: %s", lease.instance, error)
            _put_aside(self._lease(lease.instance))
            return None

    # sessions

    def save_specs(self, instance: str, sessions: Sequence[KeptSession]) -> None:
        """Make an instance's sessions durable; none takes the file away. Raises OSError."""
        path = self._specs_file(instance)
        if sessions:
            files.replace_file(path, seal(_specs_record(instance, sessions)))
        elif path.exists():
            path.unlink()
            files.sync_dir(self._specs)

    def specs(self) -> Iterator[tuple[str, list[KeptSession]]]:
        """The sessions of each instance that has some."""
        found = (_read(path, _specs_of) for path in sorted(self._specs.glob("*.json")))
        return (specs for specs in found if specs)

    # counters

    def save_usage(self, instance: str, usage: UsageRecord) -> None:
        """Replace an instance's counters; not synced: a power cut may cost what was
        counted since the system last wrote back, and the pool has had those. OSError.
        """
        path = self._usage_file(instance)
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(seal(asdict(usage)))
        part.chmod(files.PRIVATE_FILE)
        part.replace(path)

    def usage(self, instance: str) -> UsageRecord | None:
        """An instance's counters; None if there are none."""
        path = self._usage_file(instance)
        return _read(path, _usage_of) if path.exists() else None

    # names

    def _lease(self, instance: str) -> Path:
        return self._leases / f"{check_instance(instance)}.json"

    def _leaf(self, instance: str, n: int) -> Path:
        return self._leases / f"{check_instance(instance)}.{n}.pem"

    def _specs_file(self, instance: str) -> Path:
        return self._specs / f"{check_instance(instance)}.json"

    def _usage_file(self, instance: str) -> Path:
        return self._usage / f"{check_instance(instance)}.json"


def _read(path: Path, make: Callable[[dict[str, Any]], R]) -> R | None:
    """What is in the file; None, with the file put aside, if it can't be."""
    try:
        found = make(unseal(files.read_private(path, _LARGEST)))
    except (Damaged, OSError, KeyError, TypeError, ValueError) as error:
        log.error("%s is damaged and put aside: %s", path, error)
        _put_aside(path)
        return None
    return found


def _put_aside(path: Path) -> None:
    try:
        path.replace(path.with_name(f"{path.name}.damaged"))
    except OSError as error:
        log.error("%s can't be put aside: %s", path, error)


def _lease_of(record: dict[str, Any]) -> Lease:
    shares = tuple(Share(**share) for share in record.pop("shares"))
    return Lease(shares=shares, **record)


def _usage_of(record: dict[str, Any]) -> UsageRecord:
    return UsageRecord(record["epoch"], Counters(**record["counters"]))


def _specs_record(instance: str, sessions: Sequence[KeptSession]) -> dict[str, Any]:
    rows = [[s.id, s.tenant, _text(s.spec), _text(s.signature)] for s in sessions]
    return {"instance": instance, "sessions": rows}


def _specs_of(record: dict[str, Any]) -> tuple[str, list[KeptSession]]:
    rows: Sequence[tuple[str, str, str, str]] = record["sessions"]
    sessions = [KeptSession(i, tenant, _bytes(spec), _bytes(s)) for i, tenant, spec, s in rows]
    return record["instance"], sessions


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
