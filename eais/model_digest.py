"""Which model a session is of: the name by which its deaths and its profiles are kept."""

from __future__ import annotations

import hashlib

from eais.rpc.v1 import listener_pb2


def model_digest(spec: listener_pb2.SessionSpec) -> str:
    """The SHA-256, in hex, of the model of a spec; with external data, of all its files.

    Options, and whether it came as a path, make no other model of it.
    """
    files = spec.files
    if len(files) == 1:
        return files[0].sha256.hex()
    lines = sorted(f"{file.sha256.hex()} {file.location}" for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
