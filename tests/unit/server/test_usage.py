from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eais_server.listener.usage import Counters, UsageMeter, UsageRecord


def meter(base: Counters = Counters()) -> UsageMeter:  # noqa: B008
    found = UsageMeter()
    found.open("ei-1", 7, base)
    return found


def total(found: UsageMeter) -> Counters:
    record = found.total("ei-1")
    assert record is not None
    return record.counters


def test_workers_add_up_and_a_dead_ones_count_stays() -> None:
    found = meter(Counters(100, 1, 2, 3))
    found.beat("ei-1", 1, Counters(5, 10, 20, 30))
    found.beat("ei-1", 2, Counters(7, 0, 0, 0))
    found.ended("ei-1", 1)
    found.beat("ei-1", 3, Counters(1, 0, 0, 0))
    assert total(found) == Counters(113, 11, 22, 33)


def test_only_what_grew_is_told_again() -> None:
    found = meter()
    assert found.changed() == {"ei-1": UsageRecord(7, Counters())}
    assert found.changed() == {}
    found.beat("ei-1", 1, Counters(1))
    assert found.changed() == {"ei-1": UsageRecord(7, Counters(1))}
    found.ended("ei-1", 1)
    assert found.changed() == {}
    found.forget_told()
    assert found.changed() == {"ei-1": UsageRecord(7, Counters(1))}


def test_what_couldnt_be_told_is_told_again() -> None:
    found = meter()
    found.beat("ei-1", 1, Counters(1))
    assert list(found.changed()) == ["ei-1"]
    found.untell("ei-1")
    found.untell("ei-2")
    assert list(found.changed()) == ["ei-1"]
    assert found.changed() == {}


def test_a_lease_that_isnt_here_counts_nothing() -> None:
    found = meter()
    found.close("ei-1")
    found.beat("ei-1", 1, Counters(1))
    found.ended("ei-1", 1)
    assert found.total("ei-1") is None


numbers = st.integers(0, 1 << 40)
beats = st.tuples(st.integers(1, 3), st.builds(Counters, numbers, numbers, numbers, numbers))


@given(st.lists(st.one_of(beats, st.integers(1, 3)), max_size=30))
def test_no_counter_ever_goes_back_whatever_workers_say(
    said: list[tuple[int, Counters] | int],
) -> None:
    found, last = meter(), Counters()
    for word in said:
        if isinstance(word, int):
            found.ended("ei-1", word)
        else:
            found.beat("ei-1", *word)
        now = total(found)
        assert now == now.at_least(last)
        last = now
