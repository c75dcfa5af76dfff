from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eais.net.traffic import Traffic
from eais_server.count_page import ModelCounts
from eais_server.listener.usage import MAX_MODELS, VNIC_NEWS_S, Counters, UsageMeter, UsageRecord


def meter(base: Counters = Counters()) -> UsageMeter:  # noqa: B008
    found = UsageMeter()
    found.open("ei-1", UsageRecord(7, base))
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
    assert found.changed(0.0) == {"ei-1": UsageRecord(7, Counters())}
    assert found.changed(0.0) == {}
    found.beat("ei-1", 1, Counters(1))
    assert found.changed(0.0) == {"ei-1": UsageRecord(7, Counters(1))}
    found.ended("ei-1", 1)
    assert found.changed(0.0) == {}
    found.forget_told()
    assert found.changed(0.0) == {"ei-1": UsageRecord(7, Counters(1))}


def test_what_couldnt_be_told_is_told_again() -> None:
    found = meter()
    found.beat("ei-1", 1, Counters(1))
    assert list(found.changed(0.0)) == ["ei-1"]
    found.untell("ei-1")
    found.untell("ei-2")
    assert list(found.changed(0.0)) == ["ei-1"]
    assert found.changed(0.0) == {}


def test_a_lease_that_isnt_here_counts_nothing() -> None:
    found = meter()
    found.close("ei-1")
    found.beat("ei-1", 1, Counters(1))
    found.ended("ei-1", 1)
    assert found.total("ei-1") is None


def page(requests: int, model: str = "ab" * 32) -> Counters:
    return Counters.of_page([ModelCounts(model, requests, 10 * requests, requests, requests)])


def test_what_is_counted_is_told_apart_by_model() -> None:
    found = meter()
    found.beat("ei-1", 1, page(2), "p1")
    found.beat("ei-1", 2, page(3) + page(1, "cd" * 32), "p2")
    found.ended("ei-1", 1)
    counted = total(found)
    assert counted.requests == 6
    assert {model: c.requests for model, c in counted.models.items()} == {
        "ab" * 32: 5,
        "cd" * 32: 1,
    }


def test_no_lease_has_more_models_than_may_be_told() -> None:
    many = Counters()
    for number in range(MAX_MODELS + 9):
        many += page(1, f"{number:064x}")
    assert (len(many.models), many.requests) == (MAX_MODELS, MAX_MODELS + 9)


def test_a_page_is_spent_when_its_worker_has_ended_and_dropped_when_that_was_kept() -> None:
    found = meter()
    found.beat("ei-1", 1, page(2), "p1")
    live = found.changed(0.0)["ei-1"]
    assert (live.pages, live.spent) == ({"p1": page(2)}, ())
    found.ended("ei-1", 1)
    kept = found.changed(0.0)["ei-1"]
    assert (kept.pages, kept.spent) == ({"p1": page(2)}, ("p1",))
    found.dropped("ei-1", kept.spent)
    assert found.changed(0.0) == {}
    record = found.total("ei-1")
    assert record is not None
    assert (record.pages, record.spent, record.counters.requests) == ({}, (), 2)


steps = st.sampled_from(["answer", "other", "look", "keep", "unlink", "worker dies", "listener"])


@given(st.lists(steps, max_size=60))
def test_each_answer_is_counted_once_wherever_worker_and_listener_die(done: list[str]) -> None:
    """What a listener keeps, and the pages on its disk, are all that is left when it dies."""
    pages, kept, answers = dict[str, int](), UsageRecord(7, Counters()), 0
    found, worker = meter(), 1
    for step in [*done, "listener"]:
        name = f"p{worker}"
        match step:
            case "answer" | "other":
                pages[name] = pages.get(name, 0) + 1
                answers += 1
            case "look":
                found.beat("ei-1", worker, page(pages.setdefault(name, 0)), name)
            case "keep":
                kept = found.changed(0.0).get("ei-1", kept)
            case "unlink":
                for spent in kept.spent:
                    pages.pop(spent, None)
                found.dropped("ei-1", kept.spent)
            case "worker dies":
                found.beat("ei-1", worker, page(pages.setdefault(name, 0)), name)
                found.ended("ei-1", worker)
                worker += 1
            case "listener":
                kept = UsageRecord(kept.epoch, kept.counters, kept.pages)  # as it is read again
                found, worker = UsageMeter(), worker + 1
                found.open("ei-1", kept.with_pages({n: page(c) for n, c in pages.items()}))
        assert total(found).requests <= answers
    assert total(found) == page(answers) if answers else not total(found).requests


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


def carried(found: UsageMeter) -> Traffic:
    record = found.total("ei-1")
    assert record is not None
    return record.vnic


def test_a_vnic_counts_from_where_the_lease_began() -> None:
    found = UsageMeter()
    found.open("ei-1", UsageRecord(7, Counters(), vnic_seen=Traffic(100, 10)))
    found.carried("ei-1", 7, Traffic(130, 10, 3))
    found.carried("ei-1", 6, Traffic(999))
    assert carried(found) == Traffic(30, 0, 3)


def test_counters_of_a_vnic_that_begin_anew_take_nothing_back() -> None:
    found = meter()
    found.carried("ei-1", 7, Traffic(100, 10))
    found.carried("ei-1", 7, Traffic(5, 0))
    found.carried("ei-1", 7, Traffic(8, 2))
    assert carried(found) == Traffic(103, 12)


def test_packets_alone_are_told_every_so_often() -> None:
    found = meter()
    assert found.changed(100.0)
    found.carried("ei-1", 7, Traffic(1))
    assert not found.changed(100.0 + VNIC_NEWS_S / 2)
    (told,) = found.changed(100.0 + VNIC_NEWS_S).values()
    assert told.vnic == Traffic(1)
    found.carried("ei-1", 7, Traffic(2))
    found.beat("ei-1", 1, Counters(1))
    (told,) = found.changed(100.0 + VNIC_NEWS_S).values()
    assert told.vnic == Traffic(2)
