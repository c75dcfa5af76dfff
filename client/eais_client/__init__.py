"""The front-end: sessions, attach, upload, endpoint choice and the command line."""

from __future__ import annotations

import os

#: Whether the variable below was put there by this process.
OWN_GRPC_VERBOSITY = "GRPC_VERBOSITY" not in os.environ
# Read once, when grpc is imported: at its own level it writes to the program's stderr
# whenever a worker ends a connection, as each detach makes one do.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
