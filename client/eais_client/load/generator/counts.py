"""What a process that makes load has counted since it told last, and how that travels.

Requests are noted where they are made as plain tuples, the cheapest that there is; a thread of its
own makes histograms of them, a second's at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from eais_client.load.record import (
    HIGHEST_US,
    INTERVAL_DIGITS,
    PARTS,
    Interval,
    Seen,
    Tally,
    new_histogram,
)
from eais_client.load.target import Split

_US: Final = 1e6
_STEP: Final = 1024
"""Values are counted by 1 / this of their power of two before a histogram sees them: finer than
what it tells apart."""


class Done(NamedTuple):
    """A request that was answered, and isn't known to be wrong. Times are of the monotonic clock.

    Attributes:
        model: its place in the plan.
        due, sent, ended: seconds.
        free_at: when somebody was free to send it; later than `due` if nobody was.
    """

    model: int
    due: float
    sent: float
    ended: float
    free_at: float


class Failed(NamedTuple):
    """A request that failed; `Done`'s attributes, and why. `reason` "" is a wrong answer."""

    model: int
    due: float
    sent: float
    ended: float
    free_at: float
    reason: str
    text: str


@dataclass(slots=True)
class Notes:
    """What one thread, or event loop, has noted; only it appends.

    Attributes:
        done, failed: requests that ended.
        checked: (model, due) of answers that were compared.
        splits: (model, due, where the time went).
    """

    done: list[Done] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    checked: list[tuple[int, float]] = field(default_factory=list)
    splits: list[tuple[int, float, Split]] = field(default_factory=list)

    def seen(self) -> Iterator[Seen]:
        """Each request."""
        for done in self.done:
            yield Seen(done.due, done.ended - done.due)
        for failed in self.failed:
            yield Seen(failed.due, failed.ended - failed.due, failed.reason or "WRONG")

    def taken(self) -> Notes:
        """All that is there so far, which is then gone from here."""
        found = Notes()
        for mine, theirs in (
            (self.done, found.done),
            (self.failed, found.failed),
            (self.checked, found.checked),
            (self.splits, found.splits),
        ):
            theirs.extend(mine)  # type: ignore[arg-type]
            # What is appended meanwhile stands behind it.
            del mine[: len(theirs)]
        return found


@dataclass(slots=True)
class Counted:
    """What was counted, of some time or of all; `add` puts two together.

    Attributes are those of `PhaseRecord`.
    """

    models: dict[str, Tally] = field(default_factory=dict)
    intervals: dict[int, Interval] = field(default_factory=dict)
    lag: HdrHistogram = field(default_factory=new_histogram)
    blocked: HdrHistogram = field(default_factory=new_histogram)

    def model(self, name: str) -> Tally:
        """That model's."""
        return self.models.setdefault(name, Tally())

    def interval(self, second: int) -> Interval:
        """That second's."""
        return self.intervals.setdefault(second, Interval())

    def add(self, other: Counted) -> None:
        """Count what `other` has, too."""
        for name, tally in other.models.items():
            _add_tally(self.model(name), tally)
        for second, interval in other.intervals.items():
            _add_interval(self.interval(second), interval)
        self.lag.add(other.lag)
        self.blocked.add(other.blocked)


class Reckoner:
    """Makes `Counted` of notes.

    Requests that were due before `measured_from` count as `done` alone, if they were answered
    between that and `until()`, which a new plan moves; both are of the monotonic clock.
    """

    def __init__(
        self, names: Sequence[str], measured_from: float, until: Callable[[], float]
    ) -> None:
        self._names = names
        self._from = measured_from
        self._until = until

    def counted(self, notes: Iterable[Notes]) -> Counted:
        """What these notes say."""
        made = Counted()
        for each in notes:
            self._count_done(made, each.done)
            self._count_failed(made, each.failed)
            for model, due in each.checked:
                made.model(self._names[model]).checked += due >= self._from
            self._count_splits(made, each.splits)
        return made

    def _count_done(self, made: Counted, done: Sequence[Done]) -> None:
        if not done:
            return
        rows: NDArray[np.float64] = np.array(done)
        self._count_throughput(made, rows[:, 0], rows[:, 3])
        rows = rows[rows[:, 1] >= self._from]
        models, due, sent, ended, free_at = rows.T
        latency, service = ended - due, ended - sent
        record(made.lag, np.maximum(0.0, sent - np.maximum(due, free_at)))
        record(made.blocked, np.maximum(0.0, free_at - due))
        for model in np.unique(models):
            tally, mine = made.model(self._names[int(model)]), models == model
            tally.sent += int(mine.sum())
            tally.answered += int(mine.sum())
            record(tally.latency, latency[mine])
            record(tally.service, service[mine])
        seconds = np.floor(due - self._from).astype(np.int64)
        for second in np.unique(seconds):
            interval, mine = made.interval(int(second)), seconds == second
            interval.sent += int(mine.sum())
            interval.answered += int(mine.sum())
            record(interval.latency, latency[mine])

    def _count_throughput(
        self, made: Counted, models: NDArray[np.float64], ended: NDArray[np.float64]
    ) -> None:
        """Answers that came while was measured, whenever they were due."""
        inside = (ended >= self._from) & (ended < self._until())
        for model, count in zip(*np.unique(models[inside], return_counts=True), strict=True):
            made.model(self._names[int(model)]).done += int(count)
        seconds = np.floor(ended[inside] - self._from).astype(np.int64)
        for second, count in zip(*np.unique(seconds, return_counts=True), strict=True):
            made.interval(int(second)).done += int(count)

    def _count_failed(self, made: Counted, failed: Sequence[Failed]) -> None:
        for each in failed:
            if each.due < self._from:
                continue
            tally = made.model(self._names[each.model])
            interval = made.interval(int(each.due - self._from))
            tally.sent += 1
            interval.sent += 1
            record(made.lag, np.array([max(0.0, each.sent - max(each.due, each.free_at))]))
            record(made.blocked, np.array([max(0.0, each.free_at - each.due)]))
            if not each.reason:
                tally.wrong += 1
                interval.wrong += 1
                tally.texts.setdefault("WRONG", each.text)
                continue
            tally.errors[each.reason] += 1
            interval.failed += 1
            tally.texts.setdefault(each.reason, each.text)
            record(tally.failing, np.array([each.ended - each.due]))

    def _count_splits(self, made: Counted, splits: Sequence[tuple[int, float, Split]]) -> None:
        counted = [(model, split) for model, due, split in splits if due >= self._from]
        if not counted:
            return
        models = np.array([model for model, _ in counted])
        rows = np.array([split for _, split in counted])
        for model in np.unique(models):
            tally, mine = made.model(self._names[int(model)]), rows[models == model]
            tally.batch_size += int(mine[:, -1].sum())
            for number, part in enumerate(PARTS):
                record(tally.parts.setdefault(part, new_histogram()), mine[:, number])


def record(histogram: HdrHistogram, seconds: NDArray[np.float64]) -> None:
    """Record times in seconds; many at a time cost little more than one."""
    if not len(seconds):
        return
    values = np.clip(seconds * _US, 0, HIGHEST_US)
    # To a step far below the histogram's own, so that the same values come together.
    scale = np.exp2(np.floor(np.log2(np.maximum(values, 1.0)))) / _STEP
    coarse = np.where(values < _STEP, np.rint(values), np.rint(values / scale) * scale)
    found, counts = np.unique(coarse, return_counts=True)
    for value, count in zip(found.tolist(), counts.tolist(), strict=True):
        histogram.record_value(int(value), count)


_COUNTS: Final = (
    "due",
    "sent",
    "answered",
    "checked",
    "wrong",
    "unanswered",
    "done",
    "batch_size",
)
_INTERVAL_COUNTS: Final = ("due", "sent", "answered", "wrong", "failed", "unanswered", "done")


def _add_tally(mine: Tally, other: Tally) -> None:
    for name in _COUNTS:
        setattr(mine, name, getattr(mine, name) + getattr(other, name))
    mine.errors.update(other.errors)
    mine.texts |= other.texts | mine.texts
    for name in ("latency", "service", "failing"):
        getattr(mine, name).add(getattr(other, name))
    for part, histogram in other.parts.items():
        mine.parts.setdefault(part, new_histogram()).add(histogram)


def _add_interval(mine: Interval, other: Interval) -> None:
    for name in _INTERVAL_COUNTS:
        setattr(mine, name, getattr(mine, name) + getattr(other, name))
    mine.latency.add(other.latency)


def to_data(counted: Counted) -> dict[str, Any]:
    """As JSON has it."""
    return {
        "models": {name: _tally_data(tally) for name, tally in counted.models.items()},
        "intervals": {str(n): _interval_data(each) for n, each in counted.intervals.items()},
        "lag": _text(counted.lag),
        "blocked": _text(counted.blocked),
    }


def of_data(data: Mapping[str, Any]) -> Counted:
    """What `to_data` made."""
    return Counted(
        {name: _tally_of(each) for name, each in data["models"].items()},
        {int(second): _interval_of(each) for second, each in data["intervals"].items()},
        _histogram(data["lag"]),
        _histogram(data["blocked"]),
    )


def _tally_data(tally: Tally) -> dict[str, Any]:
    return {
        **{name: getattr(tally, name) for name in _COUNTS},
        "errors": dict(tally.errors),
        "texts": tally.texts,
        "latency": _text(tally.latency),
        "service": _text(tally.service),
        "failing": _text(tally.failing),
        "parts": {part: _text(histogram) for part, histogram in tally.parts.items()},
    }


def _tally_of(data: Mapping[str, Any]) -> Tally:
    histograms = {name: _histogram(data[name]) for name in ("latency", "service", "failing")}
    parts = {part: _histogram(text) for part, text in data["parts"].items()}
    own = {**data, **histograms, "parts": parts, "errors": Counter(data["errors"])}
    return Tally(**own)


def _interval_data(interval: Interval) -> dict[str, Any]:
    counts = {name: getattr(interval, name) for name in _INTERVAL_COUNTS}
    return {**counts, "latency": _text(interval.latency)}


def _interval_of(data: Mapping[str, Any]) -> Interval:
    return Interval(**{**data, "latency": _histogram(data["latency"], INTERVAL_DIGITS)})


def _text(histogram: HdrHistogram) -> str:
    if not histogram.get_total_count():
        return ""
    text = histogram.encode()
    return text.decode("ascii") if isinstance(text, bytes) else str(text)


def _histogram(text: str, digits: int | None = None) -> HdrHistogram:
    made = new_histogram() if digits is None else new_histogram(digits)
    if text:
        made.decode_and_add(text.encode("ascii"))
    return made
