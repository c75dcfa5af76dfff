"""A process's own page on loopback: /metrics, /livez, /readyz, for the machine's operator.

On the event loop, without threads: that it answers says that the loop turns, and a worker's
confinement allows it (a listening socket, no connection out). One request a connection. It has
no identities, so it is on loopback alone, and no browser's page reaches it: a request by another
name than loopback's is refused, which is what rebinding of DNS would send.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from eais.bind_fault import cannot_bind
from eais.ports import to_try

log = logging.getLogger(__name__)

ADDRESS: Final = "127.0.0.1"
MOST_AT_ONCE: Final = 32
ANSWERS_WITHIN_S: Final = 5.0

_LONGEST_HEAD: Final = 16 << 10
_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_PORT: Final = re.compile(r":[0-9]+$")
_STATUS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page says."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200


def text(words: str, status: int = 200) -> Answer:
    """A line or more for people."""
    return Answer(f"{words}\n".encode(), status=status)


Page = Callable[[str], Answer]
"""Given the request's Accept header."""


class LoopbackServer:
    """Serves some pages, each with its path.

    Attributes:
        port: where, once it was started.
    """

    port: int = 0

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = pages
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self, fixed: int = 0, kept: int = 0) -> int:
        """Listen on the `fixed` port, else on the one `kept` from before, else on any; which.

        Raises:
            ConfigError: PORT, the fixed one is taken.
        """
        for wanted in to_try(fixed, kept):
            try:
                self._server = await asyncio.start_server(
                    self._serve, ADDRESS, wanted, limit=_LONGEST_HEAD
                )
            except OSError as error:
                log.warning("port %d of %s can't be had: %s", wanted, ADDRESS, error)
                continue
            self.port = self._server.sockets[0].getsockname()[1]
            return self.port
        raise cannot_bind("metrics_port", ADDRESS, fixed)

    async def stop(self) -> None:
        """Listen no more; what is being answered ends with the loop."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MOST_AT_ONCE:
                async with asyncio.timeout(ANSWERS_WITHIN_S):
                    await self._answer(reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked has gone, or asks what no program does
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        answer = self._found(head[0].split(" "), _headers(head[1:]))
        body = b"" if head[0].startswith("HEAD ") else answer.body
        writer.write(
            f"HTTP/1.1 {answer.status} {_STATUS[answer.status]}\r\n"
            f"Content-Type: {answer.content_type}\r\n"
            f"Content-Length: {len(answer.body)}\r\n"
            "Connection: close\r\n\r\n".encode("latin-1")
            + body
        )
        await writer.drain()

    def _found(self, request: list[str], headers: Mapping[str, str]) -> Answer:
        if len(request) != 3:
            return text("not an HTTP request", 400)
        method, target, _ = request
        if method not in ("GET", "HEAD"):
            return text("GET it", 405)
        if _PORT.sub("", headers.get("host", "")) not in _NAMES:
            return text("ask for it at 127.0.0.1 and its port", 403)
        page = self._pages.get(target.partition("?")[0])
        if page is None:
            return text(f"here are {', '.join(sorted(self._pages))}", 404)
        try:
            return page(headers.get("accept", ""))
        except Exception:
            # The edge of the page: the process goes on whatever it says of itself.
            log.exception("BUG: %s", target.partition("?")[0][:64])
            return text("BUG: the log says how", 500)


def _headers(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
