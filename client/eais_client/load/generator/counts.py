"""What a process that makes load has counted since it told last, and how that travels.

Requests are noted where they are made; `reckoning` makes histograms of them, a second's at a time.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from hdrh.histogram import HdrHistogram

from eais_client.load.record import (
    INTERVAL_DIGITS,
    Interval,
    Seen,
    Tally,
    new_histogram,
)
from eais_client.load.target import Split

ROW: Final = 5
"""Numbers of a request in `Notes.done`."""
SPLIT_ROW: Final = 2 + len(Split._fields)
"""Numbers of one in `Notes.splits`."""


class Failed(NamedTuple):
    """A request that failed; its row of `Notes.done`, and why. `reason` "" is a wrong answer."""

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

    Plain numbers one after the other are the cheapest that there is, to write down as to take.

    Attributes:
        done: requests that were answered, and aren't known to be wrong, `ROW` numbers each: its
            model's place in the plan; when it was due, was sent, and ended, monotonic seconds;
            and when somebody was free to send it: later than it was due if nobody was then.
        failed: requests that weren't.
        checked: (model, due) of answers that were compared.
        splits: `SPLIT_ROW` numbers each: model, due, where the time went.
    """

    done: array[float] = field(default_factory=lambda: array("d"))
    failed: list[Failed] = field(default_factory=list)
    checked: list[tuple[int, float]] = field(default_factory=list)
    splits: array[float] = field(default_factory=lambda: array("d"))

    def seen(self) -> Iterator[Seen]:
        """Each request."""
        for due, ended in zip(self.done[1::ROW], self.done[3::ROW], strict=True):
            yield Seen(due, ended - due)
        for failed in self.failed:
            yield Seen(failed.due, failed.ended - failed.due, failed.reason or "WRONG")

    def taken(self) -> Notes:
        """All that is there so far, which is then gone from here."""
        found = Notes(self.done[:], self.failed[:], self.checked[:], self.splits[:])
        # What is appended meanwhile stands behind it.
        del self.done[: len(found.done)]
        del self.failed[: len(found.failed)]
        del self.checked[: len(found.checked)]
        del self.splits[: len(found.splits)]
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
        # One is worth three histograms: none is made that isn't kept.
        if name not in self.models:
            self.models[name] = Tally()
        return self.models[name]

    def interval(self, second: int) -> Interval:
        """That second's."""
        if second not in self.intervals:
            self.intervals[second] = Interval()
        return self.intervals[second]

    def add(self, other: Counted) -> None:
        """Count what `other` has, too."""
        for name, tally in other.models.items():
            _add_tally(self.model(name), tally)
        for second, interval in other.intervals.items():
            _add_interval(self.interval(second), interval)
        self.lag.add(other.lag)
        self.blocked.add(other.blocked)


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
        if part not in mine.parts:
            mine.parts[part] = new_histogram()
        mine.parts[part].add(histogram)


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
