"""Whether the files that a worker is about to load are those that its session was made from.

They were right when they came into the store. What was read back from the disk since, for this
load, is judged here, by the one who reads it: a bit that turned is a named error, not a wrong
answer, and a file that got shorter doesn't kill the process that maps it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from eais.errors import make_error
from eais.rpc.v1 import listener_pb2
from eais_server.worker.messages import MODEL_FILE

_READ_BYTES: Final = 4 << 20


def check_files(folder: Path, files: Iterable[listener_pb2.ModelFile]) -> None:
    """Read all of a session's files, linked below `folder`, and compare their SHA-256.

    Raises:
        RemoteError: DIGEST_MISMATCH, one is damaged, or can't be read.
    """
    for file in files:
        if _sha256(folder / (file.location or MODEL_FILE)) != file.sha256:
            name = f"file {file.location[:64]!r}" if file.location else "file"
            text = f"the model's {name} is damaged on this host's disk"
            raise make_error("DIGEST_MISMATCH", text)


def _sha256(path: Path) -> bytes:
    """The digest of what can be read; b"" if nothing can."""
    digest, offset = hashlib.sha256(), 0
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while data := os.pread(fd, _READ_BYTES, offset):
                digest.update(data)
                offset += len(data)
        finally:
            os.close(fd)
    except OSError:
        return b""
    return digest.digest()
