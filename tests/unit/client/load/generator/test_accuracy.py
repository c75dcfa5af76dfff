"""Percentiles come out as they went in: through notes, histograms, and the way to the parent.

Time is virtual: a call at a server of known behaviour sets the clock to its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from eais_client.load.checking import Prepared
from eais_client.load.generator.counts import Counted, Notes, of_data, to_data
from eais_client.load.generator.reckoning import Reckoner
from eais_client.load.generator.request import Request
from eais_client.load.generator.work import Called, Work
from eais_client.load.target import Feeds, Split
from eais_client.load.testing.null import SIGNATURE
from eais_client.load.testing.service import Known, Service, times_s

BEGIN = 1000.0


class Server:
    """A caller, and its clock."""

    def __init__(self, known: Known) -> None:
        self.signature = SIGNATURE
        self.now = BEGIN
        self._service = Service(known)

    def clock(self) -> float:
        return self.now

    def call(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        self.now = self._service.arrived(self.now).end
        return list(feeds.values())

    async def call_async(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        raise NotImplementedError

    def last_split(self) -> Split | None:
        return None


def counted(known: Known, due: Iterable[float]) -> Counted:
    """Of requests that are due then, each sent by a caller that is free; told second by second."""
    server, notes = Server(known), Notes()
    prepared = Prepared(({"x": np.zeros(1, np.float32)},))
    work = Work(
        [Called(server, prepared)],
        np.zeros(1, np.int64),
        None,
        1,
        BEGIN,
        BEGIN + 1e6,
        60.0,
        0.0,
        1,
        now=server.clock,
    )
    reckoner, made = Reckoner(["m"], BEGIN, lambda: work.ended), Counted()
    for number, moment in enumerate(due):
        server.now = BEGIN + moment
        Request(work, notes, number, BEGIN + moment, BEGIN, checks=False, model=0).make()
        if number % 500 == 499:
            made.add(of_data(to_data(reckoner.counted([notes.taken()]))))
    made.add(of_data(to_data(reckoner.counted([notes.taken()]))))
    return made


@pytest.mark.parametrize("name", ["constant", "exponential", "lognormal"])
@pytest.mark.parametrize("mean_ms", [0.2, 20.0, 3000.0])
def test_percentiles_of_a_distribution_are_those_that_were_drawn(name: str, mean_ms: float) -> None:
    known = Known(name, mean_ms, draws=5000)
    tally = counted(known, np.arange(5000) / 100).model("m")
    assert tally.answered == 5000
    for share in (0.5, 0.9, 0.95, 0.99, 0.999):
        told = tally.latency.get_value_at_percentile(100 * share) / 1e6
        drawn = times_s(known)[round(share * 5000) - 1]
        assert told == pytest.approx(drawn, rel=0.002, abs=2e-6)


def test_requests_that_were_due_in_a_stall_are_told_with_their_wait() -> None:
    # A fifth of the requests waits evenly 0 to 1 s.
    known = Known(mean_ms=5.0, stall_every_s=5.0, stall_s=1.0)
    tally = counted(known, np.arange(4000) / 200).model("m")
    for share, expected in ((0.5, 0.005), (0.9, 0.505), (0.95, 0.755), (0.99, 0.955)):
        told = tally.latency.get_value_at_percentile(100 * share) / 1e6
        assert told == pytest.approx(expected, rel=0.01)


def test_seconds_have_their_own_requests() -> None:
    made = counted(Known(mean_ms=5.0), np.arange(400) / 100)
    assert [made.interval(second).answered for second in range(4)] == [100] * 4
    told = made.interval(2).latency.get_value_at_percentile(50)
    assert told == pytest.approx(5000, rel=0.01)
