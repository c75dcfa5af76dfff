from __future__ import annotations

from eais_pool.brain.arrivals import Arrivals


def test_what_came_is_told_once_and_a_second_late() -> None:
    arrivals = Arrivals()
    told = []
    for second in range(6):
        arrivals.said("program", "ei-1", 10 * second, 2, 100.0 + second)
        told.append(arrivals.take("ei-1", 100.0 + second))
    assert told == [0.0, 2.0, 10.0, 10.0, 10.0, 10.0]


def test_words_that_do_not_keep_the_second_are_spread_evenly() -> None:
    arrivals = Arrivals()
    told = []
    for tenth in range(300):
        if tenth % 11 == 0:
            arrivals.said("program", "ei-1", 2 * tenth, 0, 100.0 + tenth / 10)
        if tenth % 10 == 5:
            told.append(arrivals.take("ei-1", 100.0 + tenth / 10))
    assert abs(sum(told) - 20 * len(told)) <= 40
    assert all(18 <= count <= 22 for count in told[3:])


def test_all_processes_count_and_one_that_goes_leaves_what_was_not_told() -> None:
    arrivals = Arrivals()
    arrivals.said("one", "ei-1", 5, 0, 100.0)
    arrivals.said("two", "ei-1", 0, 3, 100.0)
    arrivals.said("two", "ei-1", 8, 0, 101.0)
    assert arrivals.take("ei-1", 101.0) == 3.0
    arrivals.silent("two")
    assert arrivals.take("ei-1", 101.0) == 5.0
    assert arrivals.take("ei-1", 102.0) == 0.0


def test_a_call_that_failed_came_all_the_same() -> None:
    arrivals = Arrivals()
    arrivals.said("one", "ei-1", 0, 4, 100.0)
    arrivals.said("one", "ei-1", 0, 0, 101.0)
    arrivals.said("one", "ei-1", 6, 0, 102.0)
    assert arrivals.take("ei-1", 110.0) == 6.0


def test_what_was_answered_before_a_stream_was_there_is_not_counted_again() -> None:
    arrivals = Arrivals()
    arrivals.said("again", "ei-1", 5000, 1, 100.0)
    assert arrivals.take("ei-1", 110.0) == 1.0
    assert arrivals.take("another", 110.0) == 0.0


def test_who_says_nothing_any_more_is_forgotten_once_all_was_told() -> None:
    arrivals = Arrivals()
    arrivals.said("one", "ei-1", 0, 2, 100.0)
    assert arrivals.take("ei-1", 105.0) == 2.0
    arrivals.keep(100.0)
    arrivals.said("one", "ei-1", 9, 1, 111.0)
    assert arrivals.take("ei-1", 115.0) == 1.0
    for n in range(5000):
        arrivals.said("many", f"ei-{n}", 0, 1, 120.0)
    arrivals.silent("many")
    assert arrivals.take("ei-4999", 120.0) == 1.0
    assert arrivals.take("ei-2", 120.0) == 0.0
