from __future__ import annotations

from eais_server.supervision.restart_count import RestartCount


def waits(*lives: float) -> list[float]:
    found, backoff = [], RestartCount()
    for lived_s in lives:
        backoff = backoff.after(lived_s)
        found.append(backoff.wait_s)
    return found


def test_the_first_is_followed_at_once_then_the_wait_doubles_to_five_seconds() -> None:
    assert waits(*[0.1] * 10) == [0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_second_of_life_begins_anew() -> None:
    assert waits(0.1, 0.1, 0.1, 1.0, 0.1) == [0, 0.05, 0.1, 0, 0.05]


def test_what_ends_every_two_seconds_is_never_waited_for() -> None:
    assert waits(*[1.9] * 10) == [0] * 10
