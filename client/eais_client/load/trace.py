"""Load as it was somewhere: a file with a count for each second, or a moment for each request."""

from __future__ import annotations

import csv
import gzip
import math
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from eais.errors import UsageError
from eais_client.load.brain.plan import Open, Spacing, Stretch

COUNTS: Final = "counts"
TIMESTAMPS: Final = "timestamps"
_EPOCH_S: Final = 1e8
"""Whole numbers from here on are seconds since 1970, not requests within one."""


@dataclass(frozen=True, slots=True)
class TraceSpec:
    """Which part of a file, and how it is read.

    Attributes:
        of: COUNTS or TIMESTAMPS; "": whole numbers are counts, others moments.
        column: of a file with headings; "": the first.
        from_s: what is before that, seconds from its begin, is left out.
        seconds: and what is so long after; None: nothing.
        scale: so many times its requests.
        spacing, burst: of the requests within a second, where counts are given.
        seed: of which moments are left out by a scale below 1.
    """

    file: Path
    of: str = ""
    column: str = ""
    from_s: float = 0.0
    seconds: float | None = None
    scale: float = 1.0
    spacing: Spacing = Spacing.POISSON
    burst: float = 1.0
    seed: int = 1


def read_trace(spec: TraceSpec) -> tuple[Open, str]:
    """The load, and in words what was read.

    Raises `UsageError` ARGUMENT for a file that is no trace, with the line; NOT_FOUND.
    """
    if not 0 < spec.scale < math.inf:
        raise UsageError("ARGUMENT", f"--trace-scale {spec.scale:g}: must be more than 0")
    if spec.of not in ("", COUNTS, TIMESTAMPS):
        raise UsageError("ARGUMENT", f"--trace-of {spec.of}: there are {COUNTS}, {TIMESTAMPS}")
    values = _values(spec)
    kind = spec.of or (COUNTS if all(map(_is_count, values)) else TIMESTAMPS)
    load = _of_counts(spec, values) if kind == COUNTS else _of_moments(spec, values)
    return load, f"{spec.file.name}: {len(values)} lines of {kind}"


def _is_count(value: float) -> bool:
    return value.is_integer() and 0 <= value < _EPOCH_S


def _of_counts(spec: TraceSpec, values: Sequence[float]) -> Open:
    if wrong := [value for value in values if not _is_count(value)]:
        text = f"{spec.file}: {wrong[0]:g} is no number of requests"
        raise UsageError("ARGUMENT", text, hint=f"--trace-of {TIMESTAMPS} reads moments")
    begin = math.floor(spec.from_s)
    end = None if spec.seconds is None else begin + math.ceil(spec.seconds)
    rates = [count * spec.scale for count in values[begin:end]]
    if not any(rates):
        raise UsageError("ARGUMENT", f"{spec.file}: no request is in that part of it")
    return Open(spec.spacing, tuple(Stretch(1.0, each, each) for each in rates), spec.burst)


def _of_moments(spec: TraceSpec, values: Sequence[float]) -> Open:
    if spec.scale > 1:
        text = f"--trace-scale {spec.scale:g}: moments can be left out, but not made up"
        raise UsageError("ARGUMENT", text, hint="at most 1; counts may be more")
    first = min(values)
    end = math.inf if spec.seconds is None else spec.from_s + spec.seconds
    chance = random.Random(spec.seed)
    moments = [
        value - first - spec.from_s
        for value in sorted(values)
        if spec.from_s <= value - first < end and chance.random() < spec.scale
    ]
    if not moments:
        raise UsageError("ARGUMENT", f"{spec.file}: no request is in that part of it")
    return Open(moments=tuple(moments))


def _values(spec: TraceSpec) -> list[float]:
    found = list[float]()
    place: int | None = None if spec.column else 0
    for number, row in _rows(spec.file):
        if place is None:
            place = _place(spec, row)
            continue
        value = _value(row[place]) if place < len(row) else None
        if value is not None:
            found.append(value)
        elif found or number > 1:
            text = f"{spec.file}, line {number}: {','.join(row)[:60]!r} is no number, nor a time"
            raise UsageError("ARGUMENT", text)
    if not found:
        raise UsageError("ARGUMENT", f"{spec.file}: holds no number and no time")
    return found


def _place(spec: TraceSpec, headings: Sequence[str]) -> int:
    names = [name.strip() for name in headings]
    if spec.column not in names:
        text = f"--trace-column {spec.column}: {spec.file} has no such heading"
        raise UsageError("ARGUMENT", text, hint=f"there are {', '.join(names)}")
    return names.index(spec.column)


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells; empty lines and comments are passed over."""
    try:
        with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as text:
            for number, row in enumerate(csv.reader(text), 1):
                if row and not row[0].lstrip().startswith("#"):
                    yield number, row
    except FileNotFoundError:
        raise UsageError("NOT_FOUND", f"--trace {file}: there is no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error, EOFError, zlib.error) as error:
        raise UsageError("ARGUMENT", f"--trace {file}: {error}") from None


def _value(text: str) -> float | None:
    """A number, or the seconds since 1970 of a time; None if it is neither."""
    cut = text.strip()
    try:
        number = float(cut)
        return number if math.isfinite(number) else None
    except ValueError:
        pass
    try:
        # Python 3.11 reads at most six digits of a second's part.
        head, dot, rest = cut.partition(".")
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        moment = datetime.fromisoformat(head + dot + digits[:6] + rest[len(digits) :])
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
