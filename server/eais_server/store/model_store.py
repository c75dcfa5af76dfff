"""The content-addressed model store of a listener.

Call it from an executor's threads: every method may block on the disk, none needs
asyncio, and all may be called from several threads at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eais.errors import ConfigError, EaisError, make_error
from eais_server.store import place
from eais_server.store.disk import Disk, as_store_error
from eais_server.store.index import Entry, FileState, Index, Key
from eais_server.store.manifest import MODEL_FILE_NAME, ManifestFile, check_content
from eais_server.store.upload import Holdings, Upload


@dataclass(frozen=True, slots=True)
class Missing:
    """A file that the store lacks; `offset` bytes of it are there already."""

    sha256: bytes
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class StoreUse:
    """What the store holds: `files` whole or not, `uploads` of them in progress, and how many
    were `evicted` so far.

    `used_bytes` counts whole files, partial files and reservations."""

    used_bytes: int
    limit_bytes: int
    files: int
    uploads: int
    evicted: int = 0


class ModelStore:
    """Files by SHA-256, apart for each tenant, evicted by last use when room is needed.

    To open a session: `pin`, then `missing`; when nothing is, `place` (and when the open
    fails, `unpin`).

    Args:
        root: the store's own directory; made if need be. On one file system with the
            workers' directories, since files are hard-linked there.
        limit_bytes: all that is kept and being uploaded.
        tenant_limit_bytes: of it what is one tenant's; None: all.
        clock: seconds, monotonic.
        partial_keep_s: how long an upload may lie untouched.
        uploads_per_tenant: at the same time.
        disk: does the file operations; made for `root` when None.

    Raises:
        ConfigError: STATE_DIR, `root` can't be used.
    """

    def __init__(
        self,
        root: Path,
        *,
        limit_bytes: int,
        clock: Callable[[], float],
        tenant_limit_bytes: int | None = None,
        partial_keep_s: float = 45.0,
        uploads_per_tenant: int = 8,
        disk: Disk | None = None,
    ) -> None:
        try:
            disk = Disk(root) if disk is None else disk
            found = disk.scan()
        except OSError as error:
            why = error.strerror or str(error)
            raise ConfigError("STATE_DIR", f"the model store {root} can't be used: {why}") from None
        index = Index(limit_bytes, uploads_per_tenant, tenant_limit_bytes)
        for file in found:
            state = FileState.STORED if file.whole else FileState.PARKED
            index.add(file.key, state, file.size, clock())
        self._held = Holdings(disk, index, clock)
        self._partial_keep_s = partial_keep_s
        self._salts: dict[str, bytes] = {}

    def missing(self, tenant: str, files: Sequence[ManifestFile]) -> list[Missing]:
        """What of `files` (a checked manifest) must still be sent, each digest once.

        Raises:
            RemoteError: DIGEST_MISMATCH, a stored file has another size than is named;
                STORE_FULL (at a tenant's first use).
            Unavailable: STORE_UNAVAILABLE.
        """
        unique = {file.sha256: file.size for file in files}
        for sha256, size in unique.items():
            self._judge(tenant, sha256, size)
        with self._held.lock:
            offsets = [self._offset(tenant, sha256, size)[1] for sha256, size in unique.items()]
        return [
            Missing(sha256, size, offset)
            for (sha256, size), offset in zip(unique.items(), offsets, strict=True)
            if offset is not None
        ]

    def begin(self, tenant: str, sha256: bytes, size: int) -> Upload:
        """Start or resume the upload of a file; its size is reserved until it ends.

        Evicts, by last use, what no session pins and nobody uploads. The caller must end it
        with `finish` or `abort`.

        Raises:
            UsageError: MALFORMED_MESSAGE, not a SHA-256 or a size.
            RemoteError: QUOTA, no room for more of the tenant's even so; STORE_FULL (metadata
                limit and got), no room for anybody's;
                DIGEST_MISMATCH, the stored file has another size.
            Unavailable: BUSY, this file is being uploaded by another call, or the tenant has
                too many uploads; STORE_UNAVAILABLE.
        """
        check_content(sha256, size)
        self._judge(tenant, sha256, size)
        with self._held.lock:
            key, offset = self._offset(tenant, sha256, size)
            stored = offset is None
            if not stored:
                for victim in self._held.index.start(key, size, self._held.clock()):
                    self._held.remove(victim)
            upload = Upload(self._held, key, sha256, size)
        if stored:
            upload.stored, upload.offset = True, size
        else:
            upload.open()
        return upload

    def pin(self, session: str, tenant: str, files: Iterable[ManifestFile]) -> None:
        """Keep `files` while `session` lives, present or still to come. Replaces its old pins.

        Raises:
            EaisError: STORE_FULL or STORE_UNAVAILABLE, at a tenant's first use alone.
        """
        with self._held.lock:
            keys = [self._key(tenant, file.sha256) for file in files]
            self._held.index.pin(session, keys)

    def unpin(self, session: str) -> None:
        """`session` ended; unknown ones are nothing."""
        with self._held.lock:
            self._held.index.unpin(session)

    def place(self, tenant: str, files: Sequence[ManifestFile], folder: Path) -> None:
        """Hard-link a checked manifest into the new directory `folder`, all or nothing.

        The model becomes `model.onnx`, the rest lies at its location. Each file's size is
        checked, and its hash at its first use since the store was opened. `folder.parent`
        must exist.

        Raises:
            Unavailable: MODEL_LOST, the store lacks a file, or it was damaged (then it is
                dropped: `missing` names it from now on); STORE_UNAVAILABLE, the disk failed.
            UsageError: WRONG_STATE, `folder` is there already.
            RemoteError: STORE_FULL; DIGEST_MISMATCH, a file has another size than is named.
        """
        keys = [self._usable(tenant, file) for file in files]
        with as_store_error(), place.new_folder(folder) as fd:
            for key, file in zip(keys, files, strict=True):
                place.link_at(self._held.disk, key, fd, file.location or MODEL_FILE_NAME)

    def read(self, tenant: str, sha256: bytes, offset: int, length: int) -> tuple[int, bytes]:
        """A whole file's size, and at most `length` bytes of it from `offset`; it is used now.

        Who reads it all has to hash it: here it isn't.

        Raises:
            Unavailable: MODEL_LOST, the store hasn't got it, or not all of it; STORE_UNAVAILABLE.
            RemoteError: STORE_FULL (at a tenant's first use).
        """
        with self._held.lock:
            key = self._key(tenant, sha256)
            entry = self._held.index.get(key)
            if entry is None or entry.state is not FileState.STORED:
                raise _gone()
            self._held.index.touch(key, self._held.clock())
        try:
            with as_store_error():
                return self._held.disk.piece(key, offset, length)
        except FileNotFoundError:
            raise _gone() from None

    def doubt(self, tenant: str, files: Iterable[ManifestFile]) -> None:
        """Somebody read one of these and it wasn't what it should be: hash them at the next use.

        Raises:
            EaisError: STORE_FULL or STORE_UNAVAILABLE, at a tenant's first use alone.
        """
        with self._held.lock:
            entries = [self._held.index.get(self._key(tenant, file.sha256)) for file in files]
            for entry in entries:
                if entry is not None:
                    entry.verified = False

    def sweep(self) -> int:
        """Reclaim uploads untouched for `partial_keep_s`, open ones too; how many bytes.

        Call it every few seconds.
        """
        with self._held.lock:
            before = self._held.index.used_bytes
            for key in self._held.index.stale(self._held.clock() - self._partial_keep_s):
                self._held.remove(key)
            return before - self._held.index.used_bytes

    def use(self) -> StoreUse:
        """The store's numbers now."""
        with self._held.lock:
            index = self._held.index
            return StoreUse(
                index.used_bytes, index.limit_bytes, len(index), index.uploads(), index.evicted
            )

    def close(self) -> None:
        """Give the store's descriptors back."""
        self._held.disk.close()

    def _key(self, tenant: str, sha256: bytes) -> Key:
        folder = hashlib.sha256(tenant.encode()).hexdigest()[:32]
        if folder not in self._salts:
            with as_store_error():
                self._salts[folder] = self._held.disk.salt(folder)
        name = hashlib.sha256(self._salts[folder] + sha256).hexdigest()
        return Key(folder, name)

    def _offset(self, tenant: str, sha256: bytes, size: int) -> tuple[Key, int | None]:
        """How much of a file is there; None: all of it, and it counts as used now."""
        key = self._key(tenant, sha256)
        entry = self._held.index.get(key)
        if entry is None or entry.state is not FileState.STORED:
            parked = entry is not None and entry.state is FileState.PARKED
            return key, entry.counted if entry and parked and entry.counted <= size else 0
        if entry.counted == size:
            self._held.index.touch(key, self._held.clock())
            return key, None
        raise _other_size(entry, size)

    def _judge(self, tenant: str, sha256: bytes, size: int) -> None:
        """Forget a file that the disk has lost a part of; not holding the lock: it is hashed.

        Else who names another size than it has lies, and is told so by `_offset`.
        """
        with self._held.lock:
            key = self._key(tenant, sha256)
            entry = self._held.index.get(key)
        if not entry or entry.state is not FileState.STORED or entry.verified:
            return
        if entry.counted != size:
            with as_store_error():
                intact = self._intact(key, sha256)
            with self._held.lock:
                entry.verified = intact
                if not intact and self._held.index.get(key) is entry:
                    self._held.remove(key)

    def _usable(self, tenant: str, file: ManifestFile) -> Key:
        """The key of a stored file that is what it should be."""
        self._judge(tenant, file.sha256, file.size)
        with self._held.lock:
            key, offset = self._offset(tenant, file.sha256, file.size)
            entry = self._held.index.get(key)
        if offset is not None or entry is None:
            raise _gone()
        with as_store_error():
            if not self._intact(key, file.sha256, entry):
                with self._held.lock:
                    self._held.remove(key)
                raise _gone()
            self._held.disk.mark_used(key)
        entry.verified = True
        return key

    def _intact(self, key: Key, sha256: bytes, entry: Entry | None = None) -> bool:
        """Whether the disk has the file, of the entry's size, and once a process: its hash."""
        disk = self._held.disk
        try:
            if entry and disk.whole_size(key) != entry.counted:
                return False
            return bool(entry and entry.verified) or disk.sha256(key) == sha256
        except FileNotFoundError:
            return False


def _gone() -> EaisError:
    return make_error("MODEL_LOST", "the store has lost a file of this model; open it again")


def _other_size(entry: Entry, size: int) -> EaisError:
    return make_error(
        "DIGEST_MISMATCH",
        f"the file of this SHA-256 has {entry.counted} bytes, not {size}",
        metadata={"want": str(entry.counted), "got": str(size)},
    )
