"""A confined child process that serves a model: run by test_isolation_runtime.py.

    python -I isolation_runtime.py LEVEL PARENT OWN_FOLDER STATE_FOLDER ADDRESS

Confines itself, says so on a line, reads one line of JSON (key, leaf and CA in PEM), loads
"model" from its folder, serves it over mutual TLS on ADDRESS, prints the port, and stops at the
end of standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eais_server.isolation import WorkerConfinement, confine

if TYPE_CHECKING:
    import grpc.aio


def confine_to(arguments: list[str]) -> int:
    level, parent, own, state = arguments[:4]
    spec = WorkerConfinement(
        work_dir=Path(own),
        parent_pid=int(parent),
        level=2 if level == "2" else 1,
        secret_roots=(Path(state),),
    )
    return confine(spec)


def model_handler() -> grpc.GenericRpcHandler[bytes, bytes]:
    import grpc.aio
    import numpy as np
    import onnxruntime

    session: Any = onnxruntime.InferenceSession("model", providers=["CPUExecutionProvider"])

    async def answer(request: bytes, context: object) -> bytes:
        x = np.frombuffer(request, np.float32).reshape(-1, 4)
        return bytes((await asyncio.to_thread(session.run, None, {"x": x}))[0].tobytes())

    method = grpc.unary_unary_rpc_method_handler(answer)
    return grpc.method_handlers_generic_handler("test.Worker", {"Run": method})


async def serve(secrets: dict[str, str], address: str) -> None:
    import grpc.aio

    pair = (secrets["key"].encode(), secrets["leaf"].encode())
    credentials = grpc.ssl_server_credentials([pair], secrets["ca"].encode(), True)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((model_handler(),))
    port = server.add_secure_port(f"{address}:0", credentials)
    await server.start()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


def main() -> None:
    print(confine_to(sys.argv[1:]), Path.cwd(), flush=True)
    secrets = json.loads(sys.stdin.readline())

    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(secrets, sys.argv[5]))


main()
