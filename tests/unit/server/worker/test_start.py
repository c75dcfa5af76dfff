"""How a worker begins to serve."""

from __future__ import annotations

import subprocess
import sys

# Without a listener it ends at once.
_ENDS = """
import gc, os, pathlib, socket
from eais_server.in_flight import PAGE_BYTES
from eais_server.worker.start import serve

listener, control = socket.socketpair()
listener.close()
page = os.memfd_create("page")
os.ftruncate(page, PAGE_BYTES)
assert serve(control.detach(), page, None, pathlib.Path("/nowhere"), 0) == 0
print(gc.get_freeze_count())
"""


def test_collections_do_not_walk_what_was_imported() -> None:
    command = [sys.executable, "-I", "-c", _ENDS]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(said.stdout) > 10_000
