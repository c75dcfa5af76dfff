"""Which runtime a session's calls run on: what passes the parity guard and is fastest.

The reference is onnxruntime's CPU provider in float32. Where the device has it, the session is
opened with it and serves at once; the others that the instance's tolerance admits are tried
beside, one by one, and what is faster by a margin takes its place. Where the device hasn't, a
runtime must pass before it serves at all. Instances whose tolerance is `exact` have no others to
try on a device that has the reference.

What can't be compared (inputs of strings, or none that the reference takes) isn't served by
another runtime.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from eais.errors import DeviceLost, EaisError, make_error
from eais.parity.verdict import difference, says_something
from eais.tolerance import Tolerance
from eais_server.devices.driver import (
    PLAIN_RUN,
    REFERENCE,
    DeviceDriver,
    ModelSource,
    Reservation,
    Runtime,
    RuntimeSession,
    SessionSettings,
)
from eais_server.parity.inputs import SIZES, can_be_made_up, made_up

log = logging.getLogger(__name__)

MARGIN: Final = 0.9
"""A candidate takes over that needs at most this part of the reference's time."""
RUN_S: Final = 5.0
"""Of one run on inputs that were made up; after that it is ended, and tells nothing."""
TIMING_S: Final = 1.5
"""Of all timed runs of a candidate and of the reference, about."""
MOST_PAIRS: Final = 9
_LONG_S: Final = 0.5

Clock = Callable[[], float]
Feed = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Option:
    """A runtime of the share's device, and whose it is."""

    driver: DeviceDriver
    runtime: Runtime


@dataclass(frozen=True, slots=True)
class Trial:
    """What a candidate showed.

    Attributes:
        session: the candidate's, if it may serve.
        refused: why not.
        error: what it refused the model with, or lost its device.
        ratio: its time over the reference's.
    """

    runtime: Runtime
    session: RuntimeSession | None = None
    refused: str = ""
    error: EaisError | None = None
    ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs a session.

    Attributes:
        unused: the others that may, and why each doesn't.
    """

    runtime: Runtime = REFERENCE
    unused: tuple[tuple[Runtime, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be opened, where, and how near its answers must be."""

    share: Reservation
    model: ModelSource
    settings: SessionSettings
    tolerance: Tolerance


class Guard:
    """Compares candidates with one session's reference. On one thread, which it blocks.

    Args:
        clock: seconds, monotonic.
        turn: in which each run is made.
    """

    def __init__(
        self,
        task: Task,
        reference: RuntimeSession,
        clock: Clock = time.perf_counter,
        turn: AbstractContextManager[None] | None = None,
    ) -> None:
        self._task = task
        self._reference = reference
        self._clock = clock
        self._turn = turn or nullcontext()
        self._answers: list[tuple[Feed, list[Any]]] | None = None

    def trial(self, option: Option) -> Trial:
        """Open the candidate, compare its answers, and time it. Never raises."""
        try:
            answers = self._answered()
            if not answers:
                return Trial(option.runtime, refused="its answers can't be compared")
            task = self._task
            session = option.driver.open(task.share, task.model, task.settings, option.runtime)
            if why := self._why_not(session, answers):
                return Trial(option.runtime, refused=why)
            return Trial(option.runtime, session, ratio=self._ratio(session, answers[0][0]))
        except EaisError as error:
            return Trial(option.runtime, refused=f"{error.reason}: {error.message}", error=error)
        except MemoryError:
            return Trial(option.runtime, refused="there is no memory for it beside the reference")
        except Exception:
            # A vendor's driver may raise anything; the reference is there.
            log.exception("%s failed on a model", option.runtime)
            return Trial(option.runtime, refused="it failed; the log says how")

    def _answered(self) -> list[tuple[Feed, list[Any]]]:
        """Inputs that the reference takes, and what it answers."""
        if self._answers is None:
            self._answers = next(filter(None, map(self._answers_to, self._feeds())), [])
        return self._answers

    def _feeds(self) -> Iterator[Iterable[Feed]]:
        """Sets of inputs; the first of which the reference takes one counts."""
        inputs = self._reference.signature.inputs
        if can_be_made_up(inputs):
            is_open = any(not isinstance(dim, int) for spec in inputs for dim in spec.dims[1:])
            yield from (made_up(inputs, size) for size in SIZES[: None if is_open else 1])

    def _answers_to(self, feeds: Iterable[Feed]) -> list[tuple[Feed, list[Any]]]:
        found: list[tuple[Feed, list[Any]]] = []
        for i, feed in enumerate(feeds):
            try:
                outputs, took_s = self._run(self._reference, feed)
            except EaisError:
                if not i:
                    return []
                continue
            if says_something(outputs):
                found.append((feed, outputs))
            if took_s > _LONG_S:
                break
        return found

    def _why_not(self, session: RuntimeSession, answers: list[tuple[Feed, list[Any]]]) -> str:
        names = [spec.name for spec in self._reference.signature.outputs]
        compared = 0
        for feed, want in answers:
            try:
                got, _ = self._run(session, feed)
            except DeviceLost:
                raise
            except EaisError as error:
                if error.reason.startswith("INPUT_"):  # a shape that it doesn't take: says so
                    continue
                return f"it fails where onnxruntime answers: {error.message}"
            if why := difference(want, got, names, self._task.tolerance):
                return why
            compared += 1
        return "" if compared else "it takes none of the inputs that were tried"

    def _ratio(self, session: RuntimeSession, feed: Feed) -> float:
        """The candidate's time over the reference's: medians of runs in turn."""
        until, ours, theirs = self._clock() + TIMING_S, list[float](), list[float]()
        while len(ours) < MOST_PAIRS and (not ours or self._clock() < until):
            for each, times in ((self._reference, theirs), (session, ours)):
                times.append(self._run(each, feed)[1])
        return median(ours) / max(median(theirs), 1e-9)

    def _run(self, session: RuntimeSession, feed: Feed) -> tuple[list[Any], float]:
        """One run and its seconds; ended after `RUN_S`: a loop may go on for as often as an input
        says.
        """
        prepared = session.prepare(PLAIN_RUN)
        with self._turn:
            ends = threading.Timer(RUN_S, prepared.terminate)
            ends.start()
            begun = self._clock()
            try:
                return prepared.execute([], feed), self._clock() - begun
            finally:
                ends.cancel()


def candidates(options: Sequence[Option], tolerance: Tolerance) -> list[Option]:
    """What may be tried beside the reference; nothing is as exact as that."""
    has_reference = any(option.runtime == REFERENCE for option in options)
    if has_reference and tolerance is Tolerance.EXACT:
        return []
    return [o for o in options if o.runtime != REFERENCE and tolerance.admits(o.runtime.precision)]


def better(trials: Iterable[Trial]) -> Trial | None:
    """The fastest that takes the reference's place; None: it stays."""
    fit = [trial for trial in trials if trial.session is not None and trial.ratio <= MARGIN]
    return min(fit, key=lambda trial: trial.ratio, default=None)


def open_reference(task: Task, options: Sequence[Option]) -> RuntimeSession | None:
    """The session that serves at once; None where the device has no reference.

    Raises:
        ModelRejected: as `DeviceDriver.open`.
    """
    for option in options:
        if option.runtime == REFERENCE:
            return option.driver.open(task.share, task.model, task.settings)
    return None


def open_guarded(
    task: Task, options: Sequence[Option], turn: AbstractContextManager[None] | None = None
) -> tuple[Choice, RuntimeSession]:
    """The session on a device that hasn't the reference: of the fastest runtime that passes.

    Raises:
        EaisError: what the CPU provider refuses; what the device's runtime refuses the model
            with; DEVICE_LOST; PARITY_REFUSED, none answers as it should.
    """
    from eais_server.runtime.session import open_session

    reference = open_session(task.model, task.settings, task.share.threads)
    guard = Guard(task, reference, turn=turn)
    trials = [guard.trial(option) for option in candidates(options, task.tolerance)]
    best = min((t for t in trials if t.session), key=lambda trial: trial.ratio, default=None)
    say(best, trials)
    if best is None and (errors := [trial.error for trial in trials if trial.error]):
        raise errors[0]
    if best is None or best.session is None:
        raise make_error("PARITY_REFUSED", _none_passes(task.tolerance, trials))
    return chosen(best, trials), best.session


def chosen(best: Trial | None, trials: Iterable[Trial]) -> Choice:
    """What came of the trials; without a best one the reference runs the session."""
    runtime = best.runtime if best else REFERENCE
    others = (trial for trial in trials if trial.runtime != runtime)
    return Choice(runtime, tuple((trial.runtime, _why_unused(trial)) for trial in others))


def _why_unused(trial: Trial) -> str:
    if trial.refused:
        return trial.refused
    more = "another one less" if trial.ratio <= MARGIN else f"more than {MARGIN}"
    return f"it takes {trial.ratio:.2f} of the reference's time, {more}"


def kept_to_reference(options: Iterable[Option]) -> Choice:
    """None of the options is tried."""
    why = "a worker died of what it did; this may have been it"
    return Choice(unused=tuple((option.runtime, why) for option in options))


def say(best: Trial | None, trials: Iterable[Trial]) -> None:
    """Tell the log what was chosen, and what was refused and why."""
    for trial in trials:
        if trial.refused:
            log.warning("%s isn't used for this model: %s", trial.runtime, trial.refused)
        else:
            log.info("%s takes %.2f of the reference's time", trial.runtime, trial.ratio)
    log.info("the model runs on %s", best.runtime if best else REFERENCE)


def _none_passes(tolerance: Tolerance, trials: Sequence[Trial]) -> str:
    told = "; ".join(f"{trial.runtime}: {trial.refused}" for trial in trials)
    return f"no runtime of this device may serve the model within {tolerance}: {told or 'none'}"
