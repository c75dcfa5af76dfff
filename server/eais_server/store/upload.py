"""One file on its way into the store: in order, hashed as it comes, resumable."""

from __future__ import annotations

from typing import Final

MAX_CHUNK_BYTES: Final = 4 << 20


class Upload:
    """Made by `ModelStore.begin`; used by one thread at a time.

    Attributes:
        size: of the whole file, in bytes.
        offset: where the next chunk must begin.
        stored: nothing needs to be sent: the store has the file, now or since before.
    """

    size: int
    offset: int
    stored: bool

    def write(self, offset: int, data: bytes) -> None:
        """Add the chunk at `offset`, at most `MAX_CHUNK_BYTES`; nothing if `stored`.

        After any error but CHUNK_GAP and CHUNK_OVERLAP what had come is dropped.

        Raises:
            UsageError: CHUNK_GAP, CHUNK_OVERLAP, MALFORMED_MESSAGE for a chunk too long.
            ModelRejected: MODEL_TOO_LARGE, the chunk goes past `size`.
            RemoteError: QUOTA, far more chunks than the size needs; STORE_FULL, the disk is.
            Unavailable: STORE_UNAVAILABLE, the disk failed, or the upload lay idle too long.
        """
        raise NotImplementedError

    def finish(self) -> None:
        """Make the file the store's, durably; nothing if `stored`.

        Raises:
            UsageError: CHUNK_GAP, bytes are missing (what came is kept).
            RemoteError: DIGEST_MISMATCH, the content isn't what was named; it is dropped.
                STORE_FULL.
            Unavailable: STORE_UNAVAILABLE.
        """
        raise NotImplementedError

    def abort(self) -> None:
        """End without finishing; what came is kept for a while to go on from. Idempotent.

        Does nothing after `finish`, so a `finally` may call it always.
        """
        raise NotImplementedError
