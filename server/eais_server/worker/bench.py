"""Measures a model on a share: runs batches of made-up inputs, and says how long each run took.

The model is opened with one runtime of the device. Any but the reference must pass the parity
guard first, at the tolerance that its precision is named by: what may not serve isn't measured.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from eais.errors import EaisError, make_error
from eais.rpc.v1 import supervision_pb2
from eais.tolerance import Precision, Tolerance
from eais_server.devices.driver import (
    PLAIN_RUN,
    REFERENCE,
    Reservation,
    Runtime,
    RuntimeSession,
)
from eais_server.in_flight import Marks
from eais_server.parity.inputs import SIZES, batch_of, can_be_made_up, takes_batches
from eais_server.worker.adoption import Drivers
from eais_server.worker.choosing_runtime import Clock, Feed, Guard, Option, Task
from eais_server.worker.integrity import check_files
from eais_server.worker.messages import model_source, session_settings

log = logging.getLogger(__name__)

MARK: Final = "measured"
"""What stands on the worker's page for the model."""
LONGEST_S: Final = 60.0
"""Of one run."""

T = TypeVar("T")


class Bench:
    """One worker's measuring; the work is done on a thread of its own, in the order asked for.

    Args:
        marks: where it is written what is loaded and run, before it is.
        directory: below which the listener links the model.
        drivers: name to what makes the device driver.
        clock: seconds, monotonic, by which runs are timed.
    """

    def __init__(
        self, marks: Marks, directory: Path, drivers: Drivers, clock: Clock = time.perf_counter
    ) -> None:
        self._marks = marks
        self._directory = directory
        self._drivers = drivers
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bench")
        self._session: RuntimeSession | None = None
        self._size = 0
        self._feeds: dict[int, Feed] = {}

    async def open(self, message: supervision_pb2.Measure) -> EaisError | None:
        """Load the model; why it can't be measured, if it can't."""
        try:
            await self._on_thread(lambda: self._open(message))
        except EaisError as error:
            return error
        return None

    async def time(self, message: supervision_pb2.TimeBatch) -> list[float]:
        """Seconds of each run of a batch.

        Raises:
            EaisError: ARGUMENT, its inputs can't be made up; INPUT_SHAPE, it takes no batches;
                INPUT_SIZE; what the runtime refuses a run with; RUN_TIMEOUT.
        """
        return await self._on_thread(lambda: self._time(message))

    async def _on_thread(self, work: Callable[[], T]) -> T:
        def edge() -> T:
            try:
                return work()
            except MemoryError:
                text = "a batch of the model doesn't fit the worker's memory"
                raise make_error("RUN_MEMORY", text) from None
            except EaisError:
                raise
            except Exception:
                # A vendor's driver may raise anything; the pool waits for an answer.
                log.exception("BUG: measuring failed")
                raise make_error("BUG", "the worker failed on this model") from None

        return await asyncio.get_running_loop().run_in_executor(self._thread, edge)

    def _open(self, message: supervision_pb2.Measure) -> None:
        self._marks.load_begins(MARK)
        try:
            folder = self._directory / message.folder
            check_files(folder, message.spec.files)
            runtime = Runtime(message.runtime.name, Precision(message.runtime.precision))
            task = Task(
                _share(message),
                model_source(message.spec, folder),
                session_settings(message.spec.options),
                Tolerance(runtime.precision.value),
            )
            self._session = self._opened(task, message.runtime.driver, runtime)
        finally:
            self._marks.load_ended()

    def _opened(self, task: Task, driver_name: str, runtime: Runtime) -> RuntimeSession:
        if driver_name not in self._drivers:
            raise make_error("DEVICE_LOST", f"this worker has no driver {driver_name[:32]!r}")
        driver = self._drivers[driver_name]()
        if runtime == REFERENCE:
            return driver.open(task.share, task.model, task.settings)
        from eais_server.runtime.session import open_session

        guard = Guard(task, open_session(task.model, task.settings, task.share.threads))
        trial = guard.trial(Option(driver, runtime))
        if trial.session is None:
            text = f"{runtime} may not serve it: {trial.refused}"
            raise trial.error or make_error("PARITY_REFUSED", text)
        return trial.session

    def _time(self, message: supervision_pb2.TimeBatch) -> list[float]:
        session = self._session
        if session is None:
            raise make_error("SESSION_UNKNOWN", "there is no model to be measured")
        feed = self._feeds.get(message.batch)
        if feed is None:
            feed = self._feeds[message.batch] = self._warm(session, message.batch)
        found = list[float]()
        until = self._clock() + message.within_ms / 1000
        while len(found) < max(1, message.runs) and (not found or self._clock() < until):
            found.append(self._run(session, feed))
        return found

    def _warm(self, session: RuntimeSession, rows: int) -> Feed:
        """Inputs of so many rows which the model takes: it has run them once."""
        inputs = session.signature.inputs
        if not can_be_made_up(inputs):
            raise make_error("ARGUMENT", "its inputs aren't tensors of numbers")
        if rows != 1 and not takes_batches(inputs):
            raise make_error("INPUT_SHAPE", "it takes one item a call")
        refused: EaisError | None = None
        for size in [self._size] if self._size else SIZES:
            feed = batch_of(inputs, size, rows)
            if feed is None:
                continue
            try:
                self._run(session, feed)
            except EaisError as error:
                refused = refused or error
                if error.reason == "RUN_TIMEOUT":
                    break
                continue
            self._size = size
            return feed
        raise refused or make_error("INPUT_SIZE", f"a batch of {rows} is too large to be made up")

    def _run(self, session: RuntimeSession, feed: Feed) -> float:
        prepared: Any = session.prepare(PLAIN_RUN)
        ends = threading.Timer(LONGEST_S, prepared.terminate)
        ends.start()
        answered = False
        self._marks.run_begins(MARK)
        begun = self._clock()
        try:
            prepared.execute([], feed)
            answered = True
            return self._clock() - begun
        except EaisError:
            if prepared.terminated:
                text = f"a run took longer than {LONGEST_S:g} s"
                raise make_error("RUN_TIMEOUT", text) from None
            raise
        finally:
            self._marks.run_ended(MARK, answered=answered)
            ends.cancel()


def _share(message: supervision_pb2.Measure) -> Reservation:
    return Reservation(
        message.device,
        message.milli,
        max(1, message.threads),
        tuple(message.cores),
        message.memory_bytes,
        words=dict(message.words),
    )
