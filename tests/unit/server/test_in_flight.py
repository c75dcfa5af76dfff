from __future__ import annotations

import mmap
import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais_server.in_flight import PAGE_BYTES, ROWS, InFlight, Marks, Page, read

A, B = "a" * 32, "b" * 32


@pytest.fixture
def page() -> Iterator[Page]:
    made = Page()
    yield made
    made.close()


def test_nothing_is_going_on_at_first(page: Page) -> None:
    assert page.look() == InFlight()


def test_a_load_is_seen_while_it_lasts(page: Page) -> None:
    marks = page.marks()
    marks.load_begins(A)
    assert page.look().loading == A
    marks.load_ended()
    assert page.look() == InFlight()


def test_runs_are_counted_by_session(page: Page) -> None:
    marks = page.marks()
    for session in (A, B, A):
        marks.run_begins(session)
    assert page.look().running == (A, B)
    marks.run_ended(A, answered=True)
    marks.run_ended(B, answered=False)
    assert page.look() == InFlight("", (A,), {A: 1, B: 0})


def test_more_sessions_than_rows_take_those_in_which_nothing_runs() -> None:
    buffer = bytearray(PAGE_BYTES)
    marks = Marks(buffer)
    marks.run_begins(A)
    for number in range(2 * ROWS):
        marks.run_begins(str(number))
        marks.run_ended(str(number), answered=True)
    marks.run_begins(B)
    assert read(buffer).running == (A, B) or read(buffer).running == (B, A)
    assert len(read(buffer).finished) == ROWS


def test_the_other_process_sees_the_same_memory(page: Page) -> None:
    marks = Marks.from_fd(os.dup(page.descriptor))
    page.handed_down()
    marks.run_begins(A)
    assert page.look().running == (A,)


def test_the_worker_cant_change_its_size(page: Page) -> None:
    for size in (0, 2 * PAGE_BYTES):
        with pytest.raises(PermissionError):
            os.ftruncate(page.descriptor, size)


def test_what_isnt_a_page_is_refused_and_closed() -> None:
    fd = os.memfd_create("short")
    with pytest.raises(ValueError, match="size"):
        Marks.from_fd(fd)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_a_closed_page_shows_nothing() -> None:
    page = Page()
    page.marks().load_begins(A)
    page.close()
    page.close()
    assert page.look() == InFlight()


@given(st.integers(0, 1 << 32))
def test_whatever_a_worker_writes_can_be_read(seed: int) -> None:
    found = read(bytearray(random.Random(seed).randbytes(PAGE_BYTES)))
    assert len(found.running) <= len(found.finished) <= ROWS
    assert all(len(name) <= 32 for name in (found.loading, *found.finished))


def test_a_page_is_whole_pages_of_memory() -> None:
    assert PAGE_BYTES % mmap.PAGESIZE == 0
