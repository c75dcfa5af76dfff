"""Places at a server: bounded for all, shared between callers, given back however a call ends."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from eais.errors import EaisError
from eais.rpc.places import PUSH_BACK_MS, Places


def refusal(places: Places, caller: str) -> EaisError:
    with pytest.raises(EaisError) as caught, places.one(caller):
        raise AssertionError("there was a place")
    assert caught.value.reason == "BUSY"
    assert caught.value.metadata["push_back_ms"] == str(PUSH_BACK_MS)
    return caught.value


def test_one_caller_has_a_share_and_leaves_the_others_theirs() -> None:
    places = Places(16, 4)
    with ExitStack() as held:
        for _ in range(4):
            held.enter_context(places.one("a"))
        assert refusal(places, "a").metadata["limit"] == "4"
        with places.one("b"):
            assert places.held == {"a": 4, "b": 1}
    assert not places.held
    assert places.total == 0


def test_all_together_are_bounded() -> None:
    places = Places(16, 4)
    with ExitStack() as held:
        for number in range(16):
            held.enter_context(places.one(f"c{number}"))
        assert refusal(places, "another").metadata["limit"] == "16"
    with places.one("another"):
        pass


def test_a_call_that_fails_gives_its_place_back() -> None:
    places = Places(1, 1)
    for _ in range(3):
        with pytest.raises(ValueError, match="x"), places.one("a"):
            raise ValueError("x")
    assert not places.held
    assert places.total == 0
