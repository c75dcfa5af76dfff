from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from eais_server.turns.brain import ALWAYS
from eais_server.turns.page import PAGE_BYTES, Claims, Descriptors, Seat
from eais_server.turns.turn import Turn
from tests.unit.server.turns.seats import turn_of

WAIT_S = 30.0


class Clock:
    now = 1000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seat() -> Iterator[Seat]:
    made = Seat()
    yield made
    made.close()


@pytest.fixture
def turn(seat: Seat, clock: Clock) -> Iterator[Turn]:
    made = turn_of(seat, clock)
    yield made
    made.close()


def rang(seat: Seat) -> bool:
    try:
        return os.eventfd_read(seat.request) > 0
    except BlockingIOError:
        return False


def wait_for_ring(seat: Seat) -> None:
    """Until the worker has rung; what it says then is complete."""
    os.set_blocking(seat.request, True)
    os.eventfd_read(seat.request)
    os.set_blocking(seat.request, False)


def test_who_shares_nothing_runs_free_and_rings_nobody(seat: Seat, turn: Turn) -> None:
    assert turn.runs_free
    with turn:
        assert seat.claims() == Claims(waits=False, inside=True, back=0)
    assert seat.claims() == Claims(waits=False, inside=False, back=0)
    turn.rest()
    assert not rang(seat)


def test_a_turn_lasts_over_batches_and_is_given_back_at_its_end(
    seat: Seat, turn: Turn, clock: Clock
) -> None:
    seat.allow(7, 2000)
    assert not turn.runs_free
    for _ in range(3):
        with turn:
            pass
    assert not rang(seat)
    with turn:
        clock.now = 2000
    assert rang(seat)
    assert seat.claims() == Claims(waits=False, inside=False, back=7)
    assert not turn.try_take()


def test_who_runs_free_and_falls_under_turns_notices_at_the_end_of_its_batch(
    seat: Seat, turn: Turn
) -> None:
    seat.allow(1, ALWAYS)
    with turn:
        seat.allow(1, 500)
        assert not rang(seat)
    assert rang(seat)
    assert seat.claims().back == 1


def test_who_has_more_to_run_waits_before_a_thread_does(seat: Seat, turn: Turn) -> None:
    turn.soon(more=True)
    assert seat.claims().waits
    with turn:
        assert seat.claims().waits
    assert seat.claims().waits
    turn.soon(more=False)
    assert not seat.claims().waits


def test_the_first_batch_of_each_turn_is_told_where_the_device_doesnt(
    seat: Seat, turn: Turn
) -> None:
    seat.ask_to_tell()
    for number in (4, 5):
        seat.allow(number, 2000)
        assert turn.try_take()
        turn.give()
        assert rang(seat)
        assert seat.claims().begun == number
        with turn:
            assert not rang(seat)
    seat.allow(6, 2000)
    with turn:
        assert rang(seat)
        assert seat.claims().begun == 6


def test_rest_gives_back_what_is_left_of_a_turn(seat: Seat, turn: Turn) -> None:
    seat.allow(3, 2000)
    turn.rest()
    assert rang(seat)
    assert seat.claims().back == 3


def test_rest_while_a_batch_runs_gives_nothing_back(seat: Seat, turn: Turn) -> None:
    seat.allow(3, 2000)
    with turn:
        turn.rest()
    assert not rang(seat)
    seat.allow(0, 0)
    turn.rest()
    assert not rang(seat)


def test_the_last_of_several_threads_gives_the_turn_back(
    seat: Seat, turn: Turn, clock: Clock
) -> None:
    seat.allow(3, 2000)
    turn.__enter__()
    with ThreadPoolExecutor(1) as other:
        other.submit(turn.__enter__).result()
        clock.now = 2000
        turn.give()
        assert not rang(seat)
        assert seat.claims().inside
        other.submit(turn.give).result()
    assert rang(seat)
    assert seat.claims() == Claims(waits=False, inside=False, back=3)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_sleep_until_their_worker_has_a_turn(seat: Seat, turn: Turn, threads: int) -> None:
    seat.allow(0, 0)
    inside = threading.Barrier(threads + 1)

    def run() -> None:
        with turn:
            inside.wait(WAIT_S)

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    wait_for_ring(seat)
    assert seat.claims() == Claims(waits=True, inside=False, back=0)
    seat.allow(1, 2000)
    inside.wait(WAIT_S)
    for thread in running:
        thread.join()
    assert seat.claims() == Claims(waits=False, inside=False, back=0)


def test_who_is_woken_in_vain_asks_again(seat: Seat, turn: Turn) -> None:
    seat.allow(0, 0)
    running = threading.Thread(target=turn.__enter__)
    running.start()
    wait_for_ring(seat)
    seat.allow(1, 999)  # over before it wakes
    wait_for_ring(seat)
    assert seat.claims().waits
    seat.allow(2, ALWAYS)
    running.join(WAIT_S)
    assert seat.claims() == Claims(waits=False, inside=True, back=0)


def test_nobody_waits_after_a_turn_that_came_before_the_bell(seat: Seat, turn: Turn) -> None:
    seat.allow(0, 0)
    seat.allow(1, ALWAYS)
    turn.__enter__()
    assert not rang(seat)


@pytest.mark.parametrize("threads", [1, 2])
def test_who_gives_up_waits_no_more(seat: Seat, turn: Turn, threads: int) -> None:
    seat.allow(0, 0)
    given_up = threading.Event()
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(turn.take, given_up.is_set) for _ in range(threads)]
        wait_for_ring(seat)
        given_up.set()
        assert [each.result(WAIT_S) for each in waiting] == [False] * threads
    assert seat.claims() == Claims(waits=False, inside=False, back=0)
    seat.allow(1, ALWAYS)
    assert turn.take(given_up.is_set), "what is open needn't be waited for"


# nobody grants himself a turn


def test_the_worker_cant_write_the_listeners_page(seat: Seat) -> None:
    page = seat.descriptors.page
    with pytest.raises(PermissionError):
        mmap.mmap(page, PAGE_BYTES)
    with pytest.raises(PermissionError):
        os.write(page, b"\xff" * 8)
    again = os.open(f"/proc/self/fd/{page}", os.O_RDWR)
    try:
        with pytest.raises(PermissionError):
            mmap.mmap(again, PAGE_BYTES)
    finally:
        os.close(again)


def test_the_worker_cant_change_a_page_s_size(seat: Seat) -> None:
    for fd in (seat.descriptors.page, seat.descriptors.own):
        for size in (0, 2 * PAGE_BYTES):
            with pytest.raises(PermissionError):
                os.ftruncate(fd, size)


def test_whatever_the_worker_does_to_the_bells_the_listener_doesnt_wait(seat: Seat) -> None:
    for bell in (seat.descriptors.request, seat.descriptors.grant):
        os.set_blocking(bell, True)
    seat.allow(1, ALWAYS)
    seat.allow(2, ALWAYS)
    seat.heard()
    seat.heard()


def test_descriptors_that_are_no_seats_are_refused_and_closed() -> None:
    fd = os.memfd_create("short")
    with pytest.raises(ValueError, match="size"):
        Turn(Descriptors(fd, fd, fd, fd))
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)
