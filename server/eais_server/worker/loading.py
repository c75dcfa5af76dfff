"""Opens a worker's sessions, one at a time, beside its runs; then looks for a faster runtime."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from eais.errors import EaisError, make_error
from eais.rpc.v1 import supervision_pb2
from eais_server.devices.driver import REFERENCE, RuntimeSession
from eais_server.in_flight import Marks
from eais_server.runtime.memory import no_memory
from eais_server.worker.adoption import Adoption
from eais_server.worker.batching.batches import Batchable
from eais_server.worker.batching.eligible import batchable
from eais_server.worker.choosing_runtime import (
    Clock,
    Guard,
    Task,
    Trial,
    better,
    candidates,
    chosen,
    kept_to_reference,
    open_guarded,
    open_reference,
    say,
)
from eais_server.worker.integrity import check_files
from eais_server.worker.messages import model_source, session_settings

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class Loader:
    """The loads of one worker. All on the event loop, but what it has the loader's thread do.

    Args:
        marks: where it is written what is loaded, before it is. What is tried beside a session
            that serves stands there, too: the listener, which waits for no load then, knows by
            it what the worker died of, and has the next one leave it.
        directory: below which the listener links models.
        clock: seconds, monotonic, by which runtimes are timed.
    """

    def __init__(self, marks: Marks, directory: Path, clock: Clock = time.perf_counter) -> None:
        self._marks = marks
        self._directory = directory
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load")
        # The marks have room for one. Whoever waits longest is next, so that a load never waits
        # for more than one trial.
        self._turn = asyncio.Lock()

    async def open(
        self, adopted: Adoption, message: supervision_pb2.Load
    ) -> tuple[RuntimeSession, Batchable | None]:
        """The session, and how its calls may run together.

        Raises:
            EaisError: what the driver refuses; PARITY_REFUSED; MODEL_MEMORY.
        """
        return await self._alone(message.session, lambda: self._open(adopted, message))

    async def improve(
        self, adopted: Adoption, message: supervision_pb2.Load, together: Batchable | None
    ) -> None:
        """Try what else may run the session, which serves; the fastest that passes serves it."""
        name, reference = message.session, adopted.sessions[message.session]
        options = candidates(adopted.options, adopted.tolerance)
        if not options or not adopted.has_reference:
            return
        if message.reference_only:
            log.warning("the model keeps to %s: a worker died of what it did", REFERENCE)
            adopted.choices[name] = kept_to_reference(options)
            return
        task = self._task(adopted, message)
        guard = Guard(task, reference, clock=self._clock, turn=adopted.turn)
        trials, best = list[Trial](), None
        for option in options:
            trial = await self._alone(name, lambda option=option: guard.trial(option))  # type: ignore[misc]
            if adopted.sessions.get(name) is not reference:
                return  # it was unloaded meanwhile
            best = better([trial, best] if best else [trial])
            # What isn't used has its memory back at once.
            trials.append(replace(trial, session=None))
            if trial.refused:
                adopted.refused.add(str(option.runtime))
            del trial
        say(best, trials)
        adopted.choices[name] = chosen(best, trials)
        if best is not None and best.session is not None:
            adopted.plane.forget(name)
            adopted.sessions[name] = best.session
            adopted.plane.batch(name, together)

    async def _alone(self, session: str, work: Callable[[], _T]) -> _T:
        async with self._turn:
            self._marks.load_begins(session)
            try:
                return await self._loop.run_in_executor(self._thread, work)
            finally:
                self._marks.load_ended()

    def _task(self, adopted: Adoption, message: supervision_pb2.Load) -> Task:
        source = model_source(message.spec, self._directory / message.folder)
        settings = session_settings(message.spec.options)
        return Task(adopted.share, source, settings, adopted.tolerance)

    def _open(
        self, adopted: Adoption, message: supervision_pb2.Load
    ) -> tuple[RuntimeSession, Batchable | None]:
        task = self._task(adopted, message)
        try:
            check_files(task.model.path.parent, message.spec.files)
            session = open_reference(task, adopted.options)
            if session is None:
                choice, session = open_guarded(task, adopted.options, adopted.turn)
                adopted.choices[message.session] = choice
            batching = message.spec.options.batching
            return session, batchable(task.model.path, session.signature, batching)
        except EaisError:
            raise
        except MemoryError:
            text = "the model doesn't fit the worker's memory"
            raise no_memory("MODEL_MEMORY", text) from None
        except Exception:
            # The edge of the thread: what it says stays in the log. Unsaid, the listener would
            # wait for the load's time-out.
            log.exception("BUG: a load raised")
            raise make_error("BUG", "the worker failed on this model") from None
