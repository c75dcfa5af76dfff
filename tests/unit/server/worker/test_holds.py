from __future__ import annotations

from eais_server.worker.holds import MAX_HELD, MAX_NAME, Holds


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


def test_what_can_be_no_session_is_not_held() -> None:
    holds = Holds()
    assert not holds.hold("one", ["x" * (MAX_NAME + 1)])
    assert holds.hold("one", ["x" * MAX_NAME])
    assert holds.in_use == ("x" * MAX_NAME,)


def test_of_what_a_message_names_only_so_much_is_looked_at() -> None:
    holds = Holds()
    looked = iter([*["s"] * MAX_HELD, "the next"])
    holds.hold("one", looked)
    assert next(looked) == "the next"
    looked = iter([*["t"] * MAX_HELD, "the next"])
    holds.release("one", looked)
    assert next(looked) == "the next"
