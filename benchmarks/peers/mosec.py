"""mosec as a peer, and as a target of load: HTTP of raw bytes, without TLS."""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import installed
from benchmarks.peers.models import SHAPES
from benchmarks.peers.serving import Probe, Server, free_ports, serving
from eais.errors import Unavailable, make_error
from eais_client.load.brain.plan import ModelLoad
from eais_client.load.target import Feeds, ServerTimes, Split, TargetSpec
from eais_client.signature import NodeArg, Signature

_PROGRAM = Path(__file__).parent / "programs/mosec_server.py"
_TIMEOUT_MS: Final = 120_000
_MOST_BYTES: Final = 64 << 20


def server(peers: Path, folder: Path, core: int) -> AbstractContextManager[Server]:
    """A server of the models in `folder`, on `core`; at most 64 MiB a request."""
    (port,) = free_ports(1)
    argv = [
        installed.python(peers, "mosec"),
        str(_PROGRAM),
        "--address=127.0.0.1",
        f"--port={port}",
        f"--path={folder / 'mosec'}",
        f"--timeout={_TIMEOUT_MS}",
        f"--max-request-size={_MOST_BYTES}",
        "--log-level=warning",
    ]
    # Each model has a process of its own, which is asked for a row of zeros.
    ready = [Probe(port, f"/{name}", bytes(4 * _row(name))) for name in SHAPES]
    environ = {"EAIS_PEERS_MODELS": str(folder)}
    log = folder / "mosec.log"
    return serving(argv, environ, core=core, port=port, probes=ready, log=log)


def _row(name: str) -> int:
    return int(np.prod([abs(size) for size in SHAPES[name]["x"]]))


class MosecCaller:
    """A model of a mosec server: a connection for each thread, or for each task at work."""

    def __init__(self, address: str, model: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._path = f"/{model}"
        self._shape = (1, *SHAPES[model]["y"][1:])
        self._own = threading.local()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.signature = Signature((_arg("x", model),), (_arg("y", model),))

    def call(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """POST the input's bytes; the answer's are the output."""
        line = getattr(self._own, "line", None)
        if line is None:
            line = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
            self._own.line = line
        try:
            line.request("POST", self._path, memoryview(feeds["x"]).cast("B"))
            answer = line.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            line.close()  # it connects anew with the next request
            raise Unavailable("UNAVAILABLE", f"mosec: {error!r}") from None
        return [self._output(answer.status, body)]

    async def call_async(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """As `call`, on the running event loop's streams."""
        data = memoryview(feeds["x"]).cast("B")
        async with asyncio.timeout(timeout_s):
            line = self._idle.pop() if self._idle else await self._connected()
            status, body = await self._exchanged(*line, data)
        self._idle.append(line)
        return [self._output(status, body)]

    def last_split(self) -> Split | None:
        """It tells nothing."""
        return None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_connection(self._host, self._port, limit=_MOST_BYTES)
        except OSError as error:
            raise Unavailable("UNAVAILABLE", f"mosec: {error!r}") from None

    async def _exchanged(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        data: memoryview,
    ) -> tuple[int, bytes]:
        head = f"POST {self._path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(data)}"
        try:
            writer.writelines([head.encode() + b"\r\n\r\n", data])
            return await read_answer(reader)
        except (OSError, EOFError, ValueError) as error:
            writer.transport.abort()
            raise Unavailable("UNAVAILABLE", f"mosec: {error!r}") from None

    def _output(self, status: int, body: bytes) -> NDArray[np.float32]:
        if status != http.client.OK:
            text = f"mosec answered {status}: {body[:200].decode(errors='replace')}"
            raise make_error("RUN_FAILED", text)
        return np.frombuffer(body, np.float32).reshape(self._shape)


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The status and body of an HTTP/1.1 answer whose length is told.

    Raises `ValueError` if it isn't, `EOFError` if the connection ends before.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    lengths = [line[15:] for line in lines if line.startswith(b"content-length:")]
    if not lengths:
        raise ValueError("an answer that doesn't say its length")
    return int(lines[0].split()[1]), await reader.readexactly(int(lengths[0]))


class MosecTarget:
    """A mosec server, which the setting `address` names as HOST:PORT."""

    def __init__(self, spec: TargetSpec) -> None:
        self._address = spec.settings["address"]

    def open(self, model: ModelLoad, timeout_s: float) -> MosecCaller:
        """The server has it already, by its name."""
        return MosecCaller(self._address, model.name)

    def about(self) -> Mapping[str, str]:
        """How it is called."""
        return {"protocol": "HTTP/1.1, raw bytes"}

    def server_times(self, model: ModelLoad) -> ServerTimes | None:
        """It tells none of one model alone."""
        return None

    def close(self) -> None:
        """Connections end with the threads and the loop that they are of."""


def _arg(tensor: str, model: str) -> NodeArg:
    shape: list[int | str | None] = [size if size > 0 else "N" for size in SHAPES[model][tensor]]
    return NodeArg(tensor, shape, "tensor(float)")
