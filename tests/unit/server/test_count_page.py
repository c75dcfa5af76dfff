from __future__ import annotations

import os
from pathlib import Path

import pytest

from eais_server.count_page import (
    PAGE_BYTES,
    ROWS,
    CountPage,
    ModelCounts,
    Tally,
    owner,
    read_page,
)

ADD, MUL = "ad" * 32, "3c" * 32


def tally_of(page: CountPage) -> Tally:
    """The worker's side, by a descriptor as it inherits one."""
    return Tally.from_fd(os.dup(page.descriptor))


def test_calls_are_counted_by_the_model_of_their_session(tmp_path: Path) -> None:
    page = CountPage(tmp_path)
    tally = tally_of(page)
    tally.opened("s1", ADD)
    tally.opened("s2", MUL)
    tally.opened("s3", ADD)
    tally.answered("s1", 10, 20, 5)
    tally.answered("s3", 1, 2, 3)
    tally.answered("s2", 7, 8, 9)
    tally.ran("s2", 100)
    tally.closed("s2")
    tally.answered("s2", 1, 1, 1)
    assert set(page.look()) == {
        ModelCounts(ADD, 2, 11, 22, 8),
        ModelCounts(MUL, 1, 7, 8, 109),
        ModelCounts("", 1, 1, 1, 1),
    }


def test_models_beyond_its_rows_are_counted_without_their_name(tmp_path: Path) -> None:
    page = CountPage(tmp_path)
    tally = tally_of(page)
    for number in range(ROWS + 5):
        tally.opened(f"s{number}", f"{number + 1:064x}")
        tally.answered(f"s{number}", 1, 1, 1)
    found = {row.model: row.requests for row in page.look()}
    assert (len(found), sum(found.values()), found[""]) == (ROWS, ROWS + 5, 6)


def test_a_page_is_its_leases_and_outlives_both_sides(tmp_path: Path) -> None:
    page = CountPage(tmp_path)
    tally = tally_of(page)
    assert page.name == ""
    page.assign("ei-1", 7)
    tally.answered("unknown", 1, 2, 3)
    page.close()
    assert page.look() == ()
    (file,) = tmp_path.iterdir()
    assert (file.name, owner(file.name)) == (page.name, ("ei-1", 7))
    assert read_page(file) == (ModelCounts("", 1, 1, 2, 3),)


def test_a_spares_page_goes_with_it(tmp_path: Path) -> None:
    page = CountPage(tmp_path)
    assert owner(next(tmp_path.iterdir()).name) is None
    page.close()
    page.close()
    assert list(tmp_path.iterdir()) == []


def test_it_has_all_its_room_on_the_disk_before_a_worker_counts_there(tmp_path: Path) -> None:
    page = CountPage(tmp_path)
    assert os.fstat(page.descriptor).st_size == PAGE_BYTES
    assert os.fstat(page.descriptor).st_blocks * 512 >= PAGE_BYTES


def test_a_worker_that_makes_it_longer_is_undone(tmp_path: Path) -> None:
    page = CountPage(tmp_path)
    os.ftruncate(page.descriptor, 1 << 20)
    assert page.look() == ()
    assert os.fstat(page.descriptor).st_size == PAGE_BYTES


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, PAGE_BYTES - 1])
def test_a_worker_that_makes_it_shorter_is_read_as_far_as_it_goes(
    tmp_path: Path, size: int
) -> None:
    page = CountPage(tmp_path)
    os.pwrite(page.descriptor, b"\xff" * PAGE_BYTES, 0)
    os.ftruncate(page.descriptor, size)
    assert len(page.look()) <= 1  # all rows say that they are the same model's


@pytest.mark.parametrize(
    "name", ["spare.ab", "ei-1.page", "ei-1.x.ab.page", "ei-1.7.ab", "ei-1.7.ab.c.page", ""]
)
def test_other_files_are_no_leases(name: str) -> None:
    assert owner(name) is None
