"""How long an open or an upload goes on after refusals, under a clock that the test holds."""

from __future__ import annotations

from typing import NoReturn

import pytest

from eais.deadline import NEVER, Deadline
from eais.errors import DeadlineExceeded, EaisError, make_error
from eais_client.opening import MAX_ATTEMPTS, Patience


class Held:
    """Patience whose sleep moves its clock."""

    def __init__(self, deadline: Deadline = NEVER) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self.patience = Patience(deadline, 30.0, lambda: self.now, self._sleep, lambda: 0.5)

    def wait_for_ever(self, error: EaisError) -> NoReturn:
        """Have one refusal after the other."""
        while True:
            self.patience.wait(error)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def busy(push_back_ms: int) -> EaisError:
    return make_error("BUSY", "8 uploads at a time", metadata={"push_back_ms": str(push_back_ms)})


def test_a_listener_without_room_is_asked_again_when_it_says_until_patience_ends() -> None:
    held = Held()
    with pytest.raises(EaisError) as caught:
        held.wait_for_ever(busy(2000))
    assert caught.value.reason == "BUSY"
    assert len(held.slept) > MAX_ATTEMPTS
    assert min(held.slept) >= 2.0
    assert 30.0 <= held.now - 100.0 < 33.0


def test_other_refusals_are_three() -> None:
    held = Held()
    for _ in range(MAX_ATTEMPTS - 1):
        held.patience.wait(make_error("STORE_UNAVAILABLE", "the disk failed"))
    with pytest.raises(EaisError):
        held.patience.wait(make_error("STORE_UNAVAILABLE", "the disk failed"))


def test_a_push_back_beyond_the_deadline_ends_at_the_deadline() -> None:
    held = Held(Deadline(101.0))
    with pytest.raises(DeadlineExceeded):
        held.patience.wait(busy(5000))
    assert held.now == 101.0


def test_progress_gives_new_patience() -> None:
    held = Held()
    for _ in range(5):
        for _ in range(10):
            held.patience.wait(busy(2000))
        held.patience.progressed()
    assert held.now - 100.0 > 90.0
