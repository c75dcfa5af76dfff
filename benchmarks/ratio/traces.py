"""Recorded demand as calls in each second, from the forms in which it is published.

- one integer a line: the calls of one second;
- CSV with a column TIMESTAMP (Azure) or gmt_create (GenTD26): one call a row, at that time;
- CSV with timestamp_anon and value (GenTD26's rates): so many calls at that second, rounded
  after all rows of it are added.

Files may be compressed with gzip. `jittered` moves each call to another time within a second
before or after its own, as another day of the same demand would have had them.
"""

from __future__ import annotations

import csv
import gzip
import io
from datetime import datetime
from pathlib import Path
from typing import Final, TextIO

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
DAY_S: Final = 86400
_COLUMNS: Final = ("TIMESTAMP", "gmt_create", "timestamp_anon")


def read(path: Path) -> Counts:
    """Calls in each second from the first one on; ValueError for a form that isn't known."""
    with _opened(path) as lines:
        first = next(lines, "").strip()
    if first.lstrip("-").isdigit():
        with _opened(path) as lines:
            return np.array([int(line) for line in lines if line.strip()], dtype=np.int64)
    with _opened(path) as lines:
        rows = csv.DictReader(lines)
        column = next((name for name in _COLUMNS if name in (rows.fieldnames or ())), None)
        if column is None:
            raise ValueError(f"{path.name}: neither integers nor a column of {_COLUMNS}")
        found = [(_second(row[column]), float(row.get("value") or 1)) for row in rows]
    begin = min(second for second, _ in found)
    sums = np.zeros(max(second for second, _ in found) - begin + 1)
    for second, calls in found:
        sums[second - begin] += calls
    return np.rint(sums).astype(np.int64)


def days(counts: Counts, first: int, last: int) -> Counts:
    """Those of so many days, both included; the whole if it is shorter than that."""
    return counts[first * DAY_S : (last + 1) * DAY_S] if len(counts) > first * DAY_S else counts


def jittered(counts: Counts, seed: int) -> list[int]:
    """Each call moved by up to a second either way, evenly."""
    # A call anywhere in its second, moved by -1 to 1 s: a quarter leaves for each neighbour.
    chance = np.random.default_rng(seed)
    sooner = chance.binomial(counts, 1 / 4)
    later = chance.binomial(counts - sooner, 1 / 3)
    moved = counts - sooner - later
    moved[:-1] += sooner[1:]
    moved[1:] += later[:-1]
    moved[0] += sooner[0]
    moved[-1] += later[-1]
    return [int(each) for each in moved]


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8")
    return path.open(encoding="utf-8")


def _second(text: str) -> int:
    try:
        return int(float(text))
    except ValueError:
        # Seven digits of a second are one more than `fromisoformat` reads.
        return int((datetime.fromisoformat(text[:26]) - datetime(1970, 1, 1)).total_seconds())
