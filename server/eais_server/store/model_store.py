"""The content-addressed model store of a listener.

Call it from an executor's threads: every method may block on the disk, none needs
asyncio, and all may be called from several threads at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eais_server.store.manifest import ManifestFile
from eais_server.store.upload import Upload


@dataclass(frozen=True, slots=True)
class Missing:
    """A file that the store lacks; `offset` bytes of it are there already."""

    sha256: bytes
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class StoreUse:
    """What the store holds: `used_bytes` counts whole files, partial files and reservations."""

    used_bytes: int
    limit_bytes: int
    files: int
    uploads: int


class ModelStore:
    """Files by SHA-256, apart for each tenant, evicted by last use when room is needed.

    To open a session: `pin`, then `missing`; when nothing is, `place` (and when the open
    fails, `unpin`).

    Args:
        root: the store's own directory; made if need be. On one file system with the
            workers' directories, since files are hard-linked there.
        limit_bytes: all that is kept and being uploaded.
        clock: seconds, monotonic.
        partial_keep_s: how long an upload may lie untouched.
        uploads_per_tenant: at the same time.

    Raises:
        ConfigError: STATE_DIR, `root` can't be used.
    """

    def __init__(
        self,
        root: Path,
        *,
        limit_bytes: int,
        clock: Callable[[], float],
        partial_keep_s: float = 45.0,
        uploads_per_tenant: int = 8,
    ) -> None:
        raise NotImplementedError

    def missing(self, tenant: str, files: Sequence[ManifestFile]) -> list[Missing]:
        """What of `files` (a checked manifest) must still be sent, each digest once.

        Raises:
            RemoteError: DIGEST_MISMATCH, a stored file has another size than is named;
                STORE_FULL (only as `begin`).
            Unavailable: STORE_UNAVAILABLE.
        """
        raise NotImplementedError

    def begin(self, tenant: str, sha256: bytes, size: int) -> Upload:
        """Start or resume the upload of a file; its size is reserved until it ends.

        Evicts, by last use, what no session pins and nobody uploads.

        Raises:
            RemoteError: STORE_FULL (metadata limit and got), no room even so;
                DIGEST_MISMATCH, the stored file has another size.
            Unavailable: BUSY, this file is being uploaded by another call, or the tenant has
                too many uploads; STORE_UNAVAILABLE.
        """
        raise NotImplementedError

    def pin(self, session: str, tenant: str, files: Iterable[ManifestFile]) -> None:
        """Keep `files` while `session` lives, present or still to come. Replaces its old pins."""
        raise NotImplementedError

    def unpin(self, session: str) -> None:
        """`session` ended; unknown ones are nothing."""
        raise NotImplementedError

    def place(self, tenant: str, files: Sequence[ManifestFile], folder: Path) -> None:
        """Hard-link a checked manifest into the new directory `folder`, all or nothing.

        The model becomes `model.onnx`, the rest lies at its location. Each file's size is
        checked, and its hash at its first use since the store was opened. `folder.parent`
        must exist.

        Raises:
            Unavailable: STORE_UNAVAILABLE: the store lacks a file, or it was damaged (then it
                is dropped: `missing` names it from now on), or the disk failed.
            UsageError: WRONG_STATE, `folder` is there already.
            RemoteError: STORE_FULL.
        """
        raise NotImplementedError

    def link(self, tenant: str, file: ManifestFile, target: Path) -> None:
        """Hard-link one file to `target`, checked and raising as `place` does."""
        raise NotImplementedError

    def sweep(self) -> int:
        """Reclaim uploads untouched for `partial_keep_s`, open ones too; how many bytes.

        Call it every few seconds.
        """
        raise NotImplementedError

    def use(self) -> StoreUse:
        """The store's numbers now."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the store's descriptors back."""
        raise NotImplementedError
