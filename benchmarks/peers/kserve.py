"""KServe's model server as a peer: gRPC of the open inference protocol, without TLS.

It listens on all addresses of the machine, and has no option for another.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.peers import installed
from benchmarks.peers.models import SHAPES
from benchmarks.peers.serving import Probe, Server, free_ports, serving

_PROGRAM = Path(__file__).parent / "programs/kserve_server.py"


def server(peers: Path, folder: Path, core: int) -> AbstractContextManager[Server]:
    """A server of the models in `folder`, on `core`.

    It writes no line for each request, which it would by default: that would cost it time.
    """
    grpc, http = free_ports(2)
    argv = [
        installed.python(peers, "kserve"),
        str(_PROGRAM),
        str(folder),
        json.dumps(SHAPES),
        f"--grpc_port={grpc}",
        f"--http_port={http}",
        "--enable_latency_logging=false",
        "--grpc_max_send_message_length=-1",
        "--grpc_max_receive_message_length=-1",
    ]
    ready = [Probe(http, f"/v2/models/{name}/ready") for name in SHAPES]
    log = folder / "kserve.log"
    return serving(argv, {}, core=core, port=grpc, probes=ready, log=log)
