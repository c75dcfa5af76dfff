from __future__ import annotations

import random
from collections import Counter

import pytest

from eais_server.worker.queue import LEAST_COST_S, RunQueue


def anyone(_: str) -> bool:
    return True


def drain(queue: RunQueue[str, str]) -> list[str]:
    found = []
    while (item := queue.take(anyone)) is not None:
        found.append(item)
    return found


def filled(*items: str, limit: int = 10) -> RunQueue[str, str]:
    """Each item belongs to the stream of its first letter, and that to a front-end of its own."""
    queue: RunQueue[str, str] = RunQueue(limit)
    assert all(queue.offer(item[0], item[0], item) for item in items)
    return queue


def served(queue: RunQueue[str, str], turns: int) -> Counter[str]:
    """How often each stream's turn comes while all have calls waiting."""
    taken = [queue.take(anyone) or "" for _ in range(turns)]
    return Counter(item[0] for item in taken)


def test_streams_take_turns_and_keep_their_order() -> None:
    assert drain(filled("a1", "a2", "a3", "b1", "c1", "c2")) == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_a_stream_that_may_not_run_is_passed_over_and_keeps_its_place() -> None:
    queue = filled("a1", "b1", "b2")
    assert queue.take(lambda key: key != "a") == "b1"
    assert queue.take(lambda key: key != "a") == "b2"
    assert queue.take(lambda key: key != "a") is None
    assert drain(queue) == ["a1"]


def test_a_full_queue_takes_no_more_until_one_is_gone() -> None:
    queue = filled("a1", "b1", limit=2)
    assert not queue.offer("c", "c", "c1")
    assert len(queue) == 2
    queue.take(anyone)
    assert queue.offer("c", "c", "c1")


def test_a_discarded_item_is_gone_once() -> None:
    queue = filled("a1", "a2", "b1")
    assert queue.discard("a", "a1")
    assert not queue.discard("a", "a1")
    assert not queue.discard("z", "z1")
    assert queue.discard("b", "b1")
    assert len(queue) == 1
    assert drain(queue) == ["a2"]
    assert len(queue) == 0


def test_who_asks_for_fifty_times_as_much_gets_no_more() -> None:
    queue: RunQueue[str, str] = RunQueue(1000)
    for number in range(500):
        queue.offer("a", "noisy", f"a{number}", 0.01)
    for number in range(10):
        queue.offer("b", "victim", f"b{number}", 0.01)
    assert served(queue, 20) == {"a": 10, "b": 10}


def test_a_call_of_one_who_had_none_is_next_however_many_wait() -> None:
    queue: RunQueue[str, str] = RunQueue(1000)
    for number in range(500):
        queue.offer("a", "noisy", f"a{number}", 0.01)
    served(queue, 50)
    queue.offer("b", "victim", "b1", 0.01)
    assert queue.take(anyone) == "b1"


def test_turns_are_of_time_not_of_calls() -> None:
    queue: RunQueue[str, str] = RunQueue(1000)
    for number in range(100):
        queue.offer("a", "dear", f"a{number}", 0.1)
        queue.offer("b", "cheap", f"b{number}", 0.01)
    taken = served(queue, 55)
    assert taken["b"] == pytest.approx(10 * taken["a"], rel=0.1)


def test_more_streams_of_one_front_end_get_it_no_more() -> None:
    queue: RunQueue[str, str] = RunQueue(1000)
    for number in range(50):
        for stream in "abcde":
            queue.offer(stream, "many", f"{stream}{number}", 0.01)
        queue.offer("z", "one", f"z{number}", 0.01)
    taken = served(queue, 80)
    assert taken["z"] == pytest.approx(40, abs=5)


def test_one_call_at_a_time_is_no_way_to_more() -> None:
    queue: RunQueue[str, str] = RunQueue(1000)
    for number in range(200):
        queue.offer("a", "patient", f"a{number}", 0.01)
    taken: Counter[str] = Counter()
    for number in range(100):
        queue.offer("b", "nimble", f"b{number}", 0.01)
        taken += served(queue, 2)
    assert taken["a"] == pytest.approx(taken["b"], abs=2)


def test_a_full_queue_gives_places_of_the_longest_line_to_those_with_fewer() -> None:
    queue = filled(*(f"a{number}" for number in range(8)), "b1", "b2", limit=10)
    assert not queue.offer("c", "c", "c1")
    assert queue.make_room("c") == "a7"
    assert queue.offer("c", "c", "c1")
    assert queue.make_room("a") is None


def test_nobody_is_displaced_for_one_who_has_as_many() -> None:
    queue = filled("a1", "a2", "b1", "b2", limit=4)
    assert queue.make_room("a") is None
    assert queue.make_room("b") is None
    assert queue.make_room("c") in ("a2", "b2")
    assert RunQueue[str, str](4).make_room("a") is None


def test_what_waited_too_long_is_taken_out_but_for_the_last_of_each_stream() -> None:
    queue: RunQueue[str, str] = RunQueue(10)
    for at, item in enumerate(("a1", "a2", "a3", "b1")):
        queue.offer(item[0], item[0], item, 0.01, float(at))
    assert queue.overdue(2.0) == ["a1", "a2"]
    assert queue.overdue(9.0) == []
    assert sorted(drain(queue)) == ["a3", "b1"]


def test_the_wait_of_a_new_call_is_its_own_line_and_others_turns() -> None:
    queue: RunQueue[str, str] = RunQueue(100)
    for number in range(10):
        queue.offer("a", "a", f"a{number}", 0.01)
    assert queue.ahead_s("a", "a", 0.01) == pytest.approx(0.1)
    # Who has none waiting has at most one call of another before it.
    assert queue.ahead_s("b", "b", 0.01) == pytest.approx(0.01)
    queue.offer("b", "b", "b1", 0.01)
    assert queue.ahead_s("b", "b", 0.01) == pytest.approx(0.03)
    assert queue.ahead_s("c", "c", 0.01) == pytest.approx(0.02)


def test_estimates_of_the_wait_are_what_happens() -> None:
    """Whatever waits: a new call isn't served later than was estimated, if no more come."""
    rng = random.Random(7)
    for _ in range(200):
        queue: RunQueue[str, str] = RunQueue(1000)
        costs: dict[str, float] = {}
        for number in range(rng.randrange(40)):
            item = f"{rng.choice('abcd')}{number}"
            costs[item] = 0.01
            queue.offer(item[0], item[0], item, costs[item])
        estimate = queue.ahead_s("b", "b", 0.01)
        queue.offer("b", "b", "b-new", 0.01)
        order = drain(queue)
        waited = sum(costs[item] for item in order[: order.index("b-new")])
        assert waited <= estimate + 1e-9


def test_lines_of_streams_that_are_gone_are_forgotten() -> None:
    queue = filled("a1", "b1", "b2")
    queue.take(anyone)
    queue.forget("a")
    assert list(queue._lines) == ["b"]
    queue.forget("b")
    assert len(queue) == 2
    drain(queue)
    assert not queue._lines
    assert not queue._active


def test_work_is_balanced_to_nothing() -> None:
    queue = filled("a1", "a2", "a3", "b1")
    assert queue.ahead_s("a", "a", 0.0) == pytest.approx(4 * LEAST_COST_S)
    queue.discard("a", "a2")
    drain(queue)
    assert queue.ahead_s("a", "a", 0.0) == 0.0
