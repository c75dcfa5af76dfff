"""A process's page on loopback, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable

import pytest

from eais.errors import ConfigError
from eais.telemetry import metrics as m
from eais.telemetry.http import ADDRESS, Answer, LoopbackServer, text
from eais.telemetry.pages import own_pages
from eais.telemetry.readiness import Readiness


async def ask(port: int, request: str) -> tuple[int, dict[str, str], str]:
    reader, writer = await asyncio.open_connection(ADDRESS, port)
    writer.write(request.encode())
    answer = (await reader.read()).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = {name: value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]) if first else 0, headers, body


def get(path: str, host: str = "127.0.0.1:9", method: str = "GET", more: str = "") -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"


def broken(accept: str) -> Answer:
    raise RuntimeError("a secret of this process")


def live(test: Callable[[int], Awaitable[None]], server: LoopbackServer) -> None:
    async def run() -> None:
        async with asyncio.timeout(20):
            port = await server.start()
            try:
                await test(port)
            finally:
                await server.stop()

    asyncio.run(run())


PAGES = {
    "/a": lambda accept: text(f"a {accept}"),
    "/j": lambda accept: Answer(json.dumps([1]).encode(), "application/json"),
    "/broken": broken,
}


@pytest.mark.parametrize(
    ("request_text", "status", "words"),
    [
        (get("/a"), 200, "a"),
        (get("/a?x=1", more="Accept: text/plain\r\n"), 200, "a text/plain"),
        (get("/a", host="localhost:80"), 200, "a"),
        (get("/a", host="127.0.0.1"), 200, "a"),
        (get("/a", host="[::1]:80"), 200, "a"),
        (get("/a", host="pool.example"), 403, "127.0.0.1"),
        (get("/a", host="127.0.0.1.example:80"), 403, "127.0.0.1"),
        (get("/b"), 404, "/a"),
        (get("/a", method="POST"), 405, "GET"),
        (get("/broken"), 500, "BUG"),
        ("nonsense\r\n\r\n", 400, "HTTP"),
    ],
)
def test_what_is_asked_for_is_answered(request_text: str, status: int, words: str) -> None:
    async def test(port: int) -> None:
        got, headers, body = await ask(port, request_text)
        assert (got, words in body) == (status, True)
        assert headers["Connection"] == "close"
        assert int(headers["Content-Length"]) == len(body)
        assert "secret" not in body

    live(test, LoopbackServer(PAGES))


def test_a_head_has_no_body_and_a_head_that_is_too_long_no_answer() -> None:
    async def test(port: int) -> None:
        status, headers, body = await ask(port, get("/j", method="HEAD"))
        assert (status, headers["Content-Type"], body) == (200, "application/json", "")
        assert (await ask(port, "GET /" + "a" * (64 << 10)))[0] == 0
        assert (await ask(port, get("/a")))[0] == 200

    live(test, LoopbackServer(PAGES))


def test_it_is_on_loopback_at_the_port_that_is_set_or_kept_or_any() -> None:
    async def run() -> None:
        first, second, third = (LoopbackServer(PAGES) for _ in range(3))
        with socket.socket() as taken:
            taken.bind((ADDRESS, 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(ConfigError) as refused:
                await first.start(fixed=port)
            assert refused.value.reason == "PORT"
            assert await second.start(kept=port) != port
        assert await third.start(fixed=port) == port
        await second.stop()
        await third.stop()

    asyncio.run(run())


def test_every_process_says_how_it_is_and_why_it_isnt_ready() -> None:
    faults: list[str] = []
    readiness = Readiness()
    readiness.require(lambda: "; ".join(faults), lambda: "")
    server = own_pages(lambda: [m.Reading(m.LEASES, 3)], readiness)

    async def test(port: int) -> None:
        assert (await ask(port, get("/livez")))[0] == 200
        assert (await ask(port, get("/readyz")))[::2] == (200, "ok\n")
        status, headers, body = await ask(port, get("/metrics"))
        assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
        assert "eais_ready 1.0" in body.splitlines()
        assert "eais_listener_leases 3.0" in body.splitlines()
        faults.append("the disk is full")
        assert (await ask(port, get("/readyz")))[::2] == (503, "the disk is full\n")
        assert "eais_ready 0.0" in (await ask(port, get("/metrics")))[2].splitlines()
        assert (await ask(port, get("/livez")))[0] == 200

    live(test, server)
