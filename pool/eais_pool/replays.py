"""Children of the manager that replay demand: how many, for how long, and that each ends."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from eais.errors import make_error

log = logging.getLogger(__name__)

_PUSH_BACK: Final = {"push_back_ms": "1000"}
_LESS: Final = "ask of a shorter time, of one instance, or of fewer policies"
_LIMIT_SIGNALS: Final = (-signal.SIGXCPU, -signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Limits:
    """What replays may take.

    Attributes:
        at_once: of all callers; of each there is one.
        cpu_s, memory_mib: of one.
        wall_s: until it is ended, however little it took.
    """

    at_once: int = 2
    cpu_s: int = 120
    memory_mib: int = 1024
    wall_s: float = 300.0


class Replays:
    """Runs a child for each replay, and kills it when whoever asked is gone."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._callers: set[str] = set()

    @contextmanager
    def place(self, caller: str) -> Iterator[None]:
        """A place for a caller's replay, held until the end of the block.

        Raises:
            Unavailable: BUSY, it has one under way, or there are too many.
        """
        if caller in self._callers:
            text = "a replay of yours is under way; one at a time"
            raise make_error("BUSY", text, hint="wait for its end", metadata=_PUSH_BACK)
        if len(self._callers) >= self._limits.at_once:
            text = f"{len(self._callers)} replays are under way, and no more may be"
            raise make_error("BUSY", text, hint="ask again in a while", metadata=_PUSH_BACK)
        self._callers.add(caller)
        try:
            yield
        finally:
            self._callers.discard(caller)

    async def run(self, asked: str, rows: AsyncIterator[str]) -> list[dict[str, Any]]:
        """The outcomes of what is asked, a line of JSON, over rows of demand, as plain records.

        Raises:
            EaisError: what the child found wrong; REPLAY_LIMIT, it took too much; PROCESS_FAILED.
        """
        child = await self._spawn()
        try:
            async with asyncio.timeout(self._limits.wall_s):
                said = await _told(child, asked, rows)
                code = await child.wait()
        except TimeoutError:
            text = f"the replay took longer than {self._limits.wall_s:g} s"
            raise make_error("REPLAY_LIMIT", text, hint=_LESS) from None
        finally:
            await _end(child)
        return self._read(said, code)

    async def _spawn(self) -> Process:
        limits = self._limits
        # What else is in the manager's environment is none of its business.
        kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        command = [sys.executable, "-m", "eais_pool.replay_child", "--parent-pid", str(os.getpid())]
        command += ["--cpu-s", str(limits.cpu_s), "--memory-mib", str(limits.memory_mib)]
        try:
            return await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=kept, cwd="/"
            )
        except OSError as error:
            text = f"a replay can't be started: {error.strerror}"
            raise make_error("PROCESS_FAILED", text) from None

    def _read(self, said: bytes, code: int) -> list[dict[str, Any]]:
        if code in _LIMIT_SIGNALS:
            text = f"the replay took more than {self._limits.cpu_s} s of CPU"
            raise make_error("REPLAY_LIMIT", text, hint=_LESS)
        try:
            found: dict[str, Any] = json.loads(said)
        except ValueError:
            log.error("a replay ended with %d and without an answer", code)
            raise make_error("PROCESS_FAILED", "the replay ended without an answer") from None
        if "error" in found:
            reason, message, hint = found["error"]
            raise make_error(reason, message, hint=hint)
        if "memory" in found:
            text = f"the replay took more than {self._limits.memory_mib} MiB of memory"
            raise make_error("REPLAY_LIMIT", text, hint=_LESS)
        lines: list[dict[str, Any]] = found["lines"]
        return lines


async def _told(child: Process, asked: str, rows: AsyncIterator[str]) -> bytes:
    """What a child says, once it was told all."""
    if child.stdin is None or child.stdout is None:
        raise AssertionError("a child has both pipes")
    # One that has ended says why by its exit code.
    with suppress(BrokenPipeError, ConnectionResetError):
        child.stdin.write(asked.encode() + b"\n")
        async for row in rows:
            child.stdin.write(row.encode() + b"\n")
            await child.stdin.drain()
        await child.stdin.drain()
    child.stdin.close()
    return await child.stdout.read()


async def _end(child: Process) -> None:
    """Have it ended and reaped, even if this is cancelled meanwhile."""
    if child.returncode is None:
        with suppress(ProcessLookupError):
            child.kill()
        await asyncio.shield(child.wait())
