from __future__ import annotations

from eais_server.worker.holds import MAX_HELD, Holds


def test_only_a_change_of_the_union_is_told() -> None:
    holds = Holds()
    assert holds.hold("one", ["s", "t"])
    assert not holds.hold("two", ["s"])
    assert not holds.hold("one", ["s"])
    assert not holds.release("one", ["s"])
    assert list(holds.in_use) == ["s", "t"]
    assert holds.release("two", ["s"])
    assert list(holds.in_use) == ["t"]


def test_a_stream_releases_its_own_alone() -> None:
    holds = Holds()
    holds.hold("one", ["s"])
    assert not holds.release("two", ["s"])
    assert not holds.drop("two")
    assert holds.in_use == ("s",)


def test_a_stream_that_ends_lets_all_go() -> None:
    holds = Holds()
    holds.hold("one", ["s", "t"])
    holds.hold("two", ["t"])
    assert holds.drop("one")
    assert holds.in_use == ("t",)
    assert not holds.drop("one")


def test_one_stream_holds_so_many_and_no_more() -> None:
    holds = Holds()
    holds.hold("one", [f"s{i}" for i in range(MAX_HELD + 5)])
    assert len(holds.in_use) == MAX_HELD
