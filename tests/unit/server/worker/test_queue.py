from __future__ import annotations

from eais_server.worker.queue import RunQueue


def anyone(_: str) -> bool:
    return True


def drain(queue: RunQueue[str, str]) -> list[str]:
    found = []
    while (item := queue.take(anyone)) is not None:
        found.append(item)
    return found


def filled(*items: str, limit: int = 10) -> RunQueue[str, str]:
    """Each item belongs to the stream of its first letter."""
    queue: RunQueue[str, str] = RunQueue(limit)
    assert all(queue.offer(item[0], item[0], item) for item in items)
    return queue


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
