"""How a worker begins to serve."""

from __future__ import annotations

import json
import subprocess
import sys

# Without a listener it ends at once.
_ENDS = """
import gc, json, os, pathlib, socket
from eais_server.in_flight import PAGE_BYTES
from eais_server.worker.__main__ import load
from eais_server.worker.arguments import WorkerArguments

begun = []
gc.callbacks.append(lambda phase, info: begun.append(phase))
serve = load()
collections = list(begun)

listener, control = socket.socketpair()
listener.close()
page = os.memfd_create("page")
os.ftruncate(page, PAGE_BYTES)
given = WorkerArguments(control.detach(), page, os.getpid(), pathlib.Path("/nowhere"), 1)
assert serve(given) == 0
print(json.dumps([collections, gc.get_freeze_count(), gc.isenabled()]))
"""


def test_collections_do_not_walk_what_is_imported() -> None:
    command = [sys.executable, "-I", "-c", _ENDS]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    collections, frozen, enabled = json.loads(said.stdout)
    assert collections == []
    assert frozen > 10_000
    assert enabled, "what calls leave behind is collected"
