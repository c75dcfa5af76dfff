"""EAIS on the wire: messages, the verb table, and how both ends are bound to it."""

from __future__ import annotations

import os

# grpc's core writes lines such as "Got goaway" to stderr at its default level;
# what a user must know is in our errors. Read once, when grpc is first imported.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
