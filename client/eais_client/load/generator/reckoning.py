"""Makes counts and histograms of what callers have noted, many requests at a time."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from eais_client.load.generator.counts import ROW, SPLIT_ROW, Counted, Failed, Notes
from eais_client.load.record import HIGHEST_US, PARTS, new_histogram

Rows = NDArray[np.float64]
_US: Final = 1e6
_STEP: Final = 1024
"""Values are counted by 1 / this of their power of two before a histogram sees them: finer than
what it tells apart."""


class Reckoner:
    """Makes `Counted` of notes.

    Requests that were due before `measured_from` count as `done` alone, if they were answered
    between that and `until`; both are of the monotonic clock. `until` is asked each time: a phase
    may be ended before its time, or be planned anew.
    """

    def __init__(
        self, names: Sequence[str], measured_from: float, until: Callable[[], float]
    ) -> None:
        self._names = names
        self._from = measured_from
        self._until = until

    def counted(self, notes: Iterable[Notes]) -> Counted:
        """What these notes say."""
        made, all_of = Counted(), list(notes)
        done = _rows([each.done for each in all_of], ROW)
        self._count_throughput(made, done[:, 0], done[:, 3])
        done = done[done[:, 1] >= self._from]
        failed = [each for one in all_of for each in one.failed if each.due >= self._from]
        bad = np.array([each[:ROW] for each in failed]).reshape(-1, ROW)
        self._count_sent(made, np.concatenate([done, bad]))
        self._count_done(made, done)
        self._count_failed(made, failed, bad)
        for model, due in (each for one in all_of for each in one.checked):
            made.model(self._names[model]).checked += due >= self._from
        self._count_splits(made, _rows([each.splits for each in all_of], SPLIT_ROW))
        return made

    def _count_sent(self, made: Counted, rows: Rows) -> None:
        models, due, sent, _, free_at = rows.T
        record(made.lag, np.maximum(0.0, sent - np.maximum(due, free_at)))
        record(made.blocked, np.maximum(0.0, free_at - due))
        for model, count in _counts(models):
            made.model(self._names[model]).sent += count
        for second, count in _counts(due - self._from):
            made.interval(second).sent += count

    def _count_done(self, made: Counted, rows: Rows) -> None:
        models, due, sent, ended, _ = rows.T
        latency, service = ended - due, ended - sent
        for model, count in _counts(models):
            tally, mine = made.model(self._names[model]), models == model
            tally.answered += count
            record(tally.latency, latency[mine])
            record(tally.service, service[mine])
        seconds = np.floor(due - self._from)
        for second, count in _counts(seconds):
            interval = made.interval(second)
            interval.answered += count
            record(interval.latency, latency[seconds == second])

    def _count_throughput(self, made: Counted, models: Rows, ended: Rows) -> None:
        """Answers that came while was measured, whenever they were due."""
        inside = (ended >= self._from) & (ended < self._until())
        for model, count in _counts(models[inside]):
            made.model(self._names[model]).done += count
        for second, count in _counts(ended[inside] - self._from):
            made.interval(second).done += count

    def _count_failed(self, made: Counted, failed: Sequence[Failed], rows: Rows) -> None:
        for each in failed:
            tally = made.model(self._names[each.model])
            interval = made.interval(int(each.due - self._from))
            if each.reason:
                tally.errors[each.reason] += 1
                interval.failed += 1
            else:
                tally.wrong += 1
                interval.wrong += 1
            tally.texts.setdefault(each.reason or "WRONG", each.text)
        errors = rows[np.array([bool(each.reason) for each in failed], bool)]
        for model, _ in _counts(errors[:, 0]):
            mine = errors[errors[:, 0] == model]
            record(made.model(self._names[model]).failing, mine[:, 3] - mine[:, 1])

    def _count_splits(self, made: Counted, rows: Rows) -> None:
        rows = rows[rows[:, 1] >= self._from]
        for model, _ in _counts(rows[:, 0]):
            tally, mine = made.model(self._names[model]), rows[rows[:, 0] == model]
            tally.batch_size += int(mine[:, -1].sum())
            for number, part in enumerate(PARTS):
                if part not in tally.parts:
                    tally.parts[part] = new_histogram()
                record(tally.parts[part], mine[:, 2 + number])


def record(histogram: HdrHistogram, seconds: Rows) -> None:
    """Record times in seconds; many at a time cost little more than one."""
    if not len(seconds):
        return
    values = np.clip(seconds * _US, 0, HIGHEST_US)
    # To a step far below the histogram's own, so that the same values come together.
    scale = np.exp2(np.floor(np.log2(np.maximum(values, 1.0)))) / _STEP
    coarse = np.where(values < _STEP, np.rint(values), np.rint(values / scale) * scale)
    for value, count in _counts(coarse):
        histogram.record_value(value, count)


def _rows(numbers: Iterable[array[float]], of: int) -> Rows:
    return np.concatenate(
        [np.zeros(0), *(np.frombuffer(each) for each in numbers if each)]
    ).reshape(-1, of)


def _counts(values: Rows) -> list[tuple[int, int]]:
    """Each whole number below or at one of `values`, and how many there are."""
    found, counts = np.unique(np.floor(values), return_counts=True)
    return [(int(each), int(count)) for each, count in zip(found, counts, strict=True)]
