"""The canary: a tiny inference by which a worker sees for itself that it can answer.

It goes the way of every call, through the runtime and in turn with the others onto a run
thread, once a second unless calls were answered meanwhile: an answer is an answer, unless it is
that of a device which may give wrong ones. It displaces nobody, and waits while a suspect runs,
as everybody does. So an old answer says that calls aren't answered now, be it that all threads
have been running the same ones for so long.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from eais.errors import EaisError, make_error
from eais.rpc.v1 import value_pb2
from eais.transport.parts import RunPart, TensorPart
from eais.transport.reading import ToClientReader
from eais.transport.tensors import value_of
from eais.transport.writing import to_client
from eais_server.devices.driver import (
    PLAIN_RUN,
    DeviceDriver,
    ModelSource,
    Reservation,
    RuntimeSession,
    SessionSettings,
)
from eais_server.worker.counters import Counters
from eais_server.worker.execution import Result
from eais_server.worker.job import Job
from eais_server.worker.runner import Runner

log = logging.getLogger(__name__)

MODEL: Final = Path(__file__).with_name("canary.onnx")
"""y = 2 x[0] + 1, 3 x[1] + 1, in float32."""
EVERY_S: Final = 1.0
READY_S: Final = 5.0
"""A worker whose last answer is older isn't ready."""

_X: Final = np.array([20.0, 30.0], np.float32)
_Y: Final = np.array([41.0, 91.0], np.float32)
FEED: Final[Mapping[str, Any]] = {"x": _X}
"""The inputs of which the answer is known."""
_RUN: Final = RunPart(
    inputs=[("x", TensorPart(int(value_pb2.ElementType.FLOAT), _X.shape, _X.tobytes()))]
)


class CanaryStream:
    """Whose turn the canary takes among the streams."""


STREAM: Final = CanaryStream()


def open_canary(driver: DeviceDriver, share: Reservation) -> RuntimeSession:
    """Load the model onto one thread of the share; blocks.

    Raises:
        EaisError: the runtime can't load it, and so nothing.
    """
    return driver.open(replace(share, threads=1), ModelSource(MODEL), SessionSettings())


class Canary:
    """Runs it, on the event loop's time; `run` is to be a task.

    Args:
        counters: where it is written when calls were answered last.
        clock: monotonic nanoseconds.
        lost: told of a known answer that is wrong, which is the device's failure; None: it is
            the CPU, and not watched.
    """

    def __init__(
        self,
        session: RuntimeSession,
        runner: Runner,
        counters: Counters,
        clock: Callable[[], int],
        lost: Callable[[EaisError], None] | None = None,
    ) -> None:
        self._session = session
        self._runner = runner
        self._counters = counters
        self._clock = clock
        self._lost = lost
        self._back = asyncio.Event()
        self._asked = False
        self._said = ""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.once()
            await asyncio.sleep(EVERY_S)

    async def once(self) -> None:
        """Unless a call was answered within the last second, run it and await its answer.

        On a device that is watched, whatever was answered. It is asked once at a time.
        """
        answered = self._counters.answered_ns
        fresh = answered and self._clock() - answered < EVERY_S * 1e9
        if fresh and self._lost is None:
            return
        if not self._asked:
            self._back.clear()
            self._asked = self._runner.add(self._job())
        if self._asked:
            await self._back.wait()

    def _job(self) -> Job:
        return Job(
            stream=STREAM,
            frontend=STREAM,
            session="",
            cost_s=0.0,
            run=_RUN,
            prepare=lambda: self._session.prepare(PLAIN_RUN),
            finished=self._finished,
            displaced=self._over,
            refuse=self._refused,
            ready_ns=self._clock(),
        )

    def _refused(self, error: EaisError) -> None:
        """Its session is nobody's, so nobody's quarantine ends it."""
        raise AssertionError(f"the canary was refused: {error}")

    def _over(self) -> None:
        self._asked = False
        self._back.set()

    def _finished(self, result: Result) -> None:
        self._over()
        wrong = _wrong(result)
        if wrong is not None and wrong.reason == "DEVICE_LOST" and self._lost is not None:
            self._lost(wrong)
        if wrong is None:
            self._counters.answered(self._clock())
        elif str(wrong) != self._said:
            log.error("this worker doesn't compute: %s", wrong)
        self._said = str(wrong or "")


def _wrong(result: Result) -> EaisError | None:
    (answer,) = ToClientReader().read(b"".join(to_client([result.answer]))).answers
    if answer.error is not None:
        return make_error("RUN_FAILED", f"{answer.error.reason}: {answer.error.message}")
    why = why_wrong([value_of(part) for part in answer.outputs])
    return make_error("DEVICE_LOST", why) if why else None


def why_wrong(outputs: Sequence[Any]) -> str:
    """What is wrong with the outputs for `FEED`; "" if nothing is."""
    if len(outputs) == 1 and np.array_equal(outputs[0], _Y):
        return ""
    return f"the known answer is {_Y.tolist()}, not {[np.ravel(each).tolist() for each in outputs]}"
