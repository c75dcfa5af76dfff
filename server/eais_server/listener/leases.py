"""The listener's durable memory: leases, workers' keys, session specs and counters.

Below the listener's own directory, each file written whole and synced before
anything that depends on it is said:

    leases/<instance>.json    the lease, sealed
    leases/<instance>.<n>.pem key, leaf and CA of its worker n
    specs/<instance>.json     the sessions that its workers are rebuilt from, sealed
    usage/<instance>.json     its counters, sealed; replaced each second, not synced
    counts/<instance>.<epoch>.<random>.page   what one of its workers counts: see
                              `eais_server.count_page`; gone when all of it is in its counters
    finals/<instance>.<epoch>.json   the last counters of a lease that is gone, until the
                              pool has them

A file that is damaged is put aside as `<name>.damaged` and said in the log. A
lease that lacks a part is no lease: it is not among those that `leases` gives,
so the pool hears that it is gone and grants it again.
"""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any, Final, TypeVar

from eais import files, tls
from eais.errors import IdentityError
from eais.instance import check_instance_name
from eais.instance_policy import DEFAULT_POLICY, InstancePolicy, RingPolicy
from eais.net.traffic import Traffic
from eais.sealed import Damaged, seal, unseal
from eais_server.count_page import ModelCounts, owner, read_page
from eais_server.listener.lease import Lease, Share
from eais_server.listener.sessions import KeptSession
from eais_server.listener.usage import Counters, UsageRecord

log = logging.getLogger(__name__)
R = TypeVar("R")

COUNTS_FOLDER: Final = "counts"
MAX_FINALS: Final = 1024
"""Leases that are gone whose last counters are kept for the pool."""
_LARGEST = 256 << 20


class ListenerFiles:
    """The files of one listener; one process writes them, one call at a time."""

    def __init__(self, root: Path, disk: files.DiskOps = files.DISK) -> None:
        """`disk` does what changes the disk.

        Raises OSError (`eais.files.UnsafePath`) when `root` can't be used.
        """
        self._disk = disk
        self._leases = files.private_dir(root / "leases", disk)
        self._specs = files.private_dir(root / "specs", disk)
        self._usage = files.private_dir(root / "usage", disk)
        self._counts = files.private_dir(root / COUNTS_FOLDER, disk)
        self._finals = files.private_dir(root / "finals", disk)
        for directory in (self._leases, self._specs, self._usage, self._finals):
            files.remove_leftovers(directory)
        self._remove_orphans()

    def _remove_orphans(self) -> None:
        """Remove the keys and counters of leases that are gone, or never came to be."""
        known = {path.name.partition(".json")[0] for path in self._leases.glob("*.json*")}
        pages = self._counts.iterdir()
        for path in (*self._leases.glob("*.pem"), *self._usage.glob("*.json"), *pages):
            if path.name.partition(".")[0] not in known:
                with suppress(OSError):  # a read-only disk keeps them, in nobody's way
                    self._disk.unlink(path)

    # leases

    def save_lease(self, lease: Lease) -> None:
        """Make `lease` durable, in the place of what was known of it; raises OSError."""
        files.replace_file(self._lease(lease.instance), seal(asdict(lease)), disk=self._disk)

    def remove_lease(self, instance: str) -> None:
        """Make durable that the lease is gone, with its keys and counters; raises OSError."""
        files.remove_file(self._lease(instance), self._disk)
        pages = self._counts.glob(f"{instance}.*.page")
        for leaf in (*self._leases.glob(f"{instance}.*.pem"), self._usage_file(instance), *pages):
            with suppress(FileNotFoundError):
                self._disk.unlink(leaf)

    def leases(self) -> Iterator[tuple[Lease, dict[int, tls.Bundle]]]:
        """All whole leases, each with the keys and leaves of its workers."""
        for path in sorted(self._leases.glob("*.json")):
            lease = self._read(path, _lease_of)
            leaves = self._leaves(lease) if lease else None
            if lease and leaves is not None:
                yield lease, leaves

    # keys and leaves of workers

    def save_leaf(self, instance: str, n: int, bundle: tls.Bundle) -> None:
        """Make a worker's key and leaf durable, 0600; raises OSError."""
        files.replace_file(self._leaf(instance, n), bundle.pem, disk=self._disk)

    def remove_leaf(self, instance: str, n: int) -> None:
        """A worker is gone for good, and so is its key; raises OSError."""
        with suppress(FileNotFoundError):
            self._disk.unlink(self._leaf(instance, n))

    def _leaves(self, lease: Lease) -> dict[int, tls.Bundle] | None:
        """By number. A share that never served, or was leaving, may lack them."""
        found = {}
        for share in lease.shares:
            try:
                found[share.n] = tls.load_bundle(self._leaf(lease.instance, share.n))
            except IdentityError as error:
                if share.leaving or not share.proven:
                    continue
                log.error("the lease of %s is lost, its key is: %s", lease.instance, error)
                self._put_aside(self._lease(lease.instance))
                return None
        return found

    # sessions

    def save_specs(self, instance: str, sessions: Sequence[KeptSession]) -> None:
        """Make an instance's sessions durable; none takes the file away. Raises OSError."""
        path = self._specs_file(instance)
        if sessions:
            files.replace_file(path, seal(_specs_record(instance, sessions)), disk=self._disk)
        elif path.exists():
            files.remove_file(path, self._disk)

    def specs(self) -> Iterator[tuple[str, list[KeptSession]]]:
        """The sessions of each instance that has some."""
        found = (self._read(path, _specs_of) for path in sorted(self._specs.glob("*.json")))
        return (specs for specs in found if specs)

    # counters

    def save_usage(self, instance: str, usage: UsageRecord) -> None:
        """Replace an instance's counters; not synced: a power cut may cost what was
        counted since the system last wrote back, and the pool has had those. OSError.

        Without the times of calls: of those only what is new is ever asked.
        """
        self._save_usage(self._usage_file(instance), instance, usage)

    def _save_usage(self, path: Path, name: str, usage: UsageRecord) -> None:
        part = path.with_name(f".{path.name}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = self._disk.open(part, flags, files.PRIVATE_FILE)
        try:
            files.write_all(fd, seal(_usage_record(name, usage)), 0, self._disk)
        finally:
            os.close(fd)
        self._disk.rename(part, path)

    def usage(self, instance: str) -> UsageRecord | None:
        """An instance's counters; None if there are none."""
        path = self._usage_file(instance)
        return self._read(path, _usage_of) if path.exists() else None

    def pages(self, instance: str, epoch: int) -> dict[str, Counters]:
        """What the workers of a lease, all of which are gone, have counted, by page."""
        found = {}
        for path in sorted(self._counts.glob(f"{instance}.*.page")):
            if owner(path.name) != (instance, epoch):
                continue
            try:
                found[path.name] = Counters.of_page(read_page(path))
            except OSError as error:
                log.error("what a worker of %s counted can't be read: %s", instance, error)
        return found

    def remove_pages(self, names: Iterable[str]) -> None:
        """All that these pages said is kept; raises OSError."""
        for name in names:
            with suppress(FileNotFoundError):
                self._disk.unlink(self._counts / name)

    # last counters

    def save_final(self, instance: str, usage: UsageRecord) -> None:
        """Keep a lease's last counters beyond it; raises OSError."""
        name = f"{check_instance_name(instance)}.{usage.epoch}"
        if sum(1 for _ in self._finals.iterdir()) >= MAX_FINALS:
            log.error("the pool hasn't taken the last counters of %s leases", MAX_FINALS)
            return
        last = UsageRecord(usage.epoch, usage.counters, vnic=usage.vnic)
        record = seal(_usage_record(name, last))
        files.replace_file(self._finals / f"{name}.json", record, disk=self._disk)

    def finals(self) -> Iterator[tuple[str, UsageRecord]]:
        """The last counters of leases that are gone, by instance."""
        for path in sorted(self._finals.glob("*.json")):
            if usage := self._read(path, _usage_of):
                yield path.name.partition(".")[0], usage

    def remove_final(self, instance: str, epoch: int) -> None:
        """The pool has a lease's last counters; raises OSError."""
        with suppress(FileNotFoundError):
            self._disk.unlink(self._finals / f"{check_instance_name(instance)}.{epoch}.json")

    # damage

    def _read(self, path: Path, make: Callable[[dict[str, Any]], R]) -> R | None:
        """What is in the file of that name; None, with the file put aside, if it can't be."""
        try:
            record = unseal(files.read_private(path, _LARGEST))
            if record["instance"] != path.name.removesuffix(".json"):
                raise Damaged("it is another instance's")
            return make(record)
        except (Damaged, OSError, KeyError, TypeError, ValueError) as error:
            log.error("%s is damaged and put aside: %s", path, error)
            self._put_aside(path)
            return None

    def _put_aside(self, path: Path) -> None:
        try:
            self._disk.rename(path, path.with_name(f"{path.name}.damaged"))
        except OSError as error:
            log.error("%s can't be put aside: %s", path, error)

    # names

    def _lease(self, instance: str) -> Path:
        return self._leases / f"{check_instance_name(instance)}.json"

    def _leaf(self, instance: str, n: int) -> Path:
        return self._leases / f"{check_instance_name(instance)}.{n}.pem"

    def _specs_file(self, instance: str) -> Path:
        return self._specs / f"{check_instance_name(instance)}.json"

    def _usage_file(self, instance: str) -> Path:
        return self._usage / f"{check_instance_name(instance)}.json"


def _lease_of(record: dict[str, Any]) -> Lease:
    shares = tuple(Share(**share) for share in record.pop("shares"))
    said = record.pop("policy", None)  # leases of before had none
    policy = (
        InstancePolicy(RingPolicy(said["ring"]), said["slo_p99_us"]) if said else DEFAULT_POLICY
    )
    return Lease(shares=shares, policy=policy, **record)


def _usage_record(instance: str, usage: UsageRecord) -> dict[str, Any]:
    pages = {name: _counters_record(counted) for name, counted in usage.pages.items()}
    counters = _counters_record(usage.counters)
    record = {"instance": instance, "epoch": usage.epoch, "counters": counters, "pages": pages}
    vnic = {"vnic": list(astuple(usage.vnic)), "vnic_seen": list(astuple(usage.vnic_seen))}
    return record | vnic


def _counters_record(counters: Counters) -> dict[str, Any]:
    return {
        "requests": counters.requests,
        "bytes_in": counters.bytes_in,
        "bytes_out": counters.bytes_out,
        "busy_ns": counters.busy_ns,
        "models": [list(astuple(counted)) for counted in counters.models.values()],
    }


def _usage_of(record: dict[str, Any]) -> UsageRecord:
    said: Mapping[str, dict[str, Any]] = record.get("pages", {})  # there were none before
    pages = {name: _counters_of(counted) for name, counted in said.items()}
    vnic, seen = (Traffic(*record.get(key, ())) for key in ("vnic", "vnic_seen"))
    counters = _counters_of(record["counters"])
    return UsageRecord(record["epoch"], counters, pages, vnic=vnic, vnic_seen=seen)


def _counters_of(record: dict[str, Any]) -> Counters:
    rows = (ModelCounts(*row) for row in record.pop("models", ()))
    return Counters(**record, models={row.model: row for row in rows})


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
