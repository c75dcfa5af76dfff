from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais.errors import Unavailable
from eais_pool.brain.guesses import ADDRESSES_KEPT, OF_ALL, OF_ONE, Guesses, Rate


def push_back_ms(guesses: Guesses, address: str, now: float) -> int:
    """0 if a token may be shown."""
    try:
        guesses.check(address, now)
    except Unavailable as error:
        return int(error.metadata["push_back_ms"])
    return 0


def test_who_must_wait_is_told_that_it_is_busy() -> None:
    guesses = Guesses(of_one=Rate(1, 1.0))
    guesses.wrong("a", 0.0)
    with pytest.raises(Unavailable) as refused:
        guesses.check("a", 0.0)
    assert (refused.value.reason, refused.value.retryable) == ("BUSY", True)


def test_who_guesses_waits_and_others_do_not() -> None:
    guesses = Guesses()
    for _ in range(OF_ONE.at_once):
        assert push_back_ms(guesses, "a", 100.0) == 0
        guesses.wrong("a", 100.0)
    assert push_back_ms(guesses, "a", 100.0) == OF_ONE.every_s * 1000
    assert push_back_ms(guesses, "b", 100.0) == 0
    assert push_back_ms(guesses, "a", 100.0 + OF_ONE.every_s) == 0
    guesses.wrong("a", 100.0 + OF_ONE.every_s)
    assert push_back_ms(guesses, "a", 100.0 + OF_ONE.every_s) > 0


def test_right_tokens_cost_nothing() -> None:
    guesses = Guesses()
    assert [push_back_ms(guesses, "a", 1.0) for _ in range(1000)] == [0] * 1000


def test_many_addresses_together_are_bounded_too() -> None:
    guesses = Guesses(of_all=Rate(5, 1.0))
    for n in range(5):
        guesses.wrong(f"a{n}", 0.0)
    assert push_back_ms(guesses, "new", 0.0) == 1000
    assert push_back_ms(guesses, "new", 0.75) == 250
    assert push_back_ms(guesses, "new", 1.0) == 0


def test_addresses_are_forgotten_not_gathered() -> None:
    guesses = Guesses()
    for n in range(3 * ADDRESSES_KEPT):
        guesses.wrong(str(n), float(n))
    assert len(guesses._each) == ADDRESSES_KEPT


@pytest.mark.parametrize("every_s", [0.0, 0.001, 0.1])
def test_a_million_guesses_are_looked_at_as_often_as_the_rate_says(every_s: float) -> None:
    guesses, looked_at, tries = Guesses(), 0, 100_000
    for n in range(tries):
        if push_back_ms(guesses, "a", n * every_s) == 0:
            guesses.wrong("a", n * every_s)
            looked_at += 1
    assert looked_at <= OF_ONE.at_once + tries * every_s / OF_ONE.every_s + 1


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5)), max_size=200))
def test_the_wait_that_is_told_is_enough(steps: list[tuple[str, float]]) -> None:
    guesses, now = Guesses(Rate(3, 2.0), Rate(5, 0.5)), 0.0
    for address, pause in steps:
        now += pause
        wait_ms = push_back_ms(guesses, address, now)
        if wait_ms:
            assert push_back_ms(guesses, address, now + wait_ms / 1000 + 1e-6) == 0
        else:
            guesses.wrong(address, now)
    assert OF_ALL.at_once > OF_ONE.at_once
