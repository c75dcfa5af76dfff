"""Loads all that a worker needs, while it is a spare, and serves. Imported confined."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from eais_server.control import ControlSocket
from eais_server.count_page import Tally
from eais_server.devices.registry import makers
from eais_server.in_flight import Marks
from eais_server.runtime.session import open_session
from eais_server.turns.turn import Turn
from eais_server.worker.arguments import WorkerArguments
from eais_server.worker.process import Worker

log = logging.getLogger(__name__)

# onnxruntime takes most of a second to load, for which no adoption should wait.
PRELOADED = (open_session,)


def serve(given: WorkerArguments) -> int:
    """Be a worker until its end; the exit code."""

    async def work() -> None:
        control, marks = ControlSocket.from_fd(given.control_fd), Marks.from_fd(given.page_fd)
        rings = None if given.ring_fd is None else socket.socket(fileno=given.ring_fd)
        turn = None if given.turns is None else Turn(given.turns)
        tally = None if given.counts_fd is None else Tally.from_fd(given.counts_fd)
        drivers, place = makers(), given.directory
        await Worker(control, marks, place, given.level, drivers, rings, turn, tally).run()

    run = _runner()
    # What was imported is never garbage: collections, which stop all calls, needn't walk it.
    gc.collect()
    gc.freeze()
    gc.enable()
    try:
        run(work())
    except Exception:
        # The process's edge: the log gets the stack, the listener sees the exit.
        log.exception("BUG: the worker ends")
        return 1
    return 0


def _runner() -> Callable[[Coroutine[Any, Any, None]], None]:
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run
