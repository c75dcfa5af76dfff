"""What the pool wrote down of an instance's ratio: second by second, and each change."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from eais_pool.brain.codec import from_json
from eais_pool.brain.ratio_records import DemandSeen, RatioDecided, RatioRecord
from eais_pool.policy.ratio.control import Amount
from eais_pool.policy.ratio.offers import Offer


@dataclass(frozen=True, slots=True)
class Recorded:
    """Of one instance; boot clock, seconds.

    Attributes:
        served: at the end of which second what served.
        decided: what was asked for, if that was another thing than it had.
        offers: what it could have had, as measured, when it was looked at last.
    """

    served: tuple[tuple[float, Amount], ...]
    decided: tuple[RatioRecord, ...]
    offers: tuple[Offer, ...]


def recorded(journal: Path, instance: str) -> Recorded:
    """Read it from a pool's journal, which may be in use."""
    served: list[tuple[float, Amount]] = []
    decided: list[RatioRecord] = []
    offers: tuple[Offer, ...] = ()
    for fact in _facts(journal):
        if fact.instance != instance:
            continue
        if isinstance(fact, RatioDecided):
            decided.append(fact.record)
        else:
            served += _seconds(fact)
            offers = max(offers, fact.basis.offers, key=len)
    return Recorded(tuple(served), tuple(decided), offers)


def _facts(journal: Path) -> Iterator[DemandSeen | RatioDecided]:
    kinds = {kind.__name__: kind for kind in (DemandSeen, RatioDecided)}
    asked = "SELECT kind, payload FROM journal WHERE kind IN (?, ?) ORDER BY seq"
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
        for kind, payload in connection.execute(asked, tuple(kinds)):
            fact = from_json(kinds[kind], payload)
            assert isinstance(fact, DemandSeen | RatioDecided)
            yield fact


def _seconds(fact: DemandSeen) -> Iterator[tuple[float, Amount]]:
    count = len(fact.seconds.arrived)
    changes, serves = dict(fact.seconds.observed), Amount()
    for second in range(count):
        serves = changes.get(second, serves)
        yield fact.at - (count - 1 - second), serves
