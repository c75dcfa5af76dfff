"""Throughput is of what came while it was measured; and each load is drawn anew."""

from __future__ import annotations

from eais_client.load.generator.counts import Counted, Notes, of_data, to_data
from eais_client.load.generator.planned import drawn_seed
from eais_client.load.generator.reckoning import Reckoner


def counted(*times: tuple[float, float]) -> Counted:
    """Of requests with one model, due and ended at these times; measured is from 10 to 12."""
    notes = Notes()
    for due, ended in times:
        notes.done.extend((0, due, due, ended, due))
    return Reckoner(["m"], 10.0, lambda: 12.0).counted([notes])


def test_what_is_worked_off_after_the_end_was_answered_but_not_done() -> None:
    found = counted((10.5, 10.6), (11.5, 12.5), (11.9, 14.0))
    assert found.model("m").answered == 3
    assert found.model("m").done == 1


def test_what_was_due_in_the_warm_part_is_done_when_it_comes_in_time() -> None:
    found = counted((9.5, 9.6), (9.5, 10.5))
    assert found.model("m").answered == 0
    assert found.model("m").done == 1
    assert found.interval(0).done == 1


def test_a_second_counts_what_came_in_it() -> None:
    found = counted((10.2, 10.3), (10.9, 11.1), (11.2, 11.3))
    assert [found.interval(n).done for n in (0, 1)] == [1, 2]
    assert [found.interval(n).answered for n in (0, 1)] == [2, 1]


def test_it_travels_and_adds_up() -> None:
    sent = of_data(to_data(counted((10.2, 10.3))))
    sent.add(counted((10.2, 11.3)))
    assert sent.model("m").done == 2
    assert [sent.interval(n).done for n in (0, 1)] == [1, 1]


def test_each_load_is_drawn_anew_and_the_first_as_the_seed_says() -> None:
    assert drawn_seed(7, 0) == 7
    assert len({drawn_seed(seed, drawn) for seed in range(50) for drawn in range(50)}) == 2500
