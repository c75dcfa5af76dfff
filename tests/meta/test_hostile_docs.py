"""docs/hostile-inputs.md names each row that is tested, once, and no other."""

from __future__ import annotations

from tests.fault.catalogue import documented, marked


def test_the_page_and_the_tests_have_the_same_rows() -> None:
    rows = documented()
    assert rows
    assert sorted(rows) == sorted({row for row, _ in marked()})


def test_a_row_is_named_once_and_is_one_test() -> None:
    rows, tests = documented(), [row for row, _ in marked()]
    assert len(rows) == len(set(rows))
    assert len(tests) == len(set(tests)), marked()
