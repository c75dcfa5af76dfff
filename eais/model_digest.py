"""Which model a session is of: the name by which its deaths and its profiles are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from eais.rpc.v1 import listener_pb2


def model_digest(spec: listener_pb2.SessionSpec) -> str:
    """The SHA-256, in hex, of the model of a spec; with external data, of all its files.

    Options, and whether it came as a path, make no other model of it.
    """
    return digest_of_files([(file.location, file.sha256) for file in spec.files])


def digest_of_files(files: Sequence[tuple[str, bytes]]) -> str:
    """The same, of the location and SHA-256 of each file; the model's own location is ""."""
    if len(files) == 1:
        return files[0][1].hex()
    lines = sorted(f"{sha256.hex()} {location}" for location, sha256 in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
