"""What processes use, as a folder of the form of /proc says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from eais_client.load.generator.usage import Meter, used, with_children

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def process(proc: Path, pid: int, cpu_s: float, pages: int, children: str = "") -> None:
    (proc / str(pid) / "task" / str(pid)).mkdir(parents=True, exist_ok=True)
    (proc / str(pid) / "task" / str(pid) / "children").write_text(children)
    ticks = int(cpu_s * TICKS)
    rest = ["S", *["0"] * 10, str(ticks // 2), str(ticks - ticks // 2), *["0"] * 8, str(pages)]
    (proc / str(pid) / "stat").write_text(f"{pid} (a) b) {' '.join(rest)} 0 0\n")


def test_a_process_has_its_cpu_time_and_memory_whatever_its_name(tmp_path: Path) -> None:
    process(tmp_path, 7, 3.0, 5)
    found = used(7, tmp_path)
    assert found is not None
    assert (found.cpu_s, found.rss) == (3.0, 5 * PAGE)
    assert used(8, tmp_path) is None


def test_what_a_process_started_counts_with_it(tmp_path: Path) -> None:
    process(tmp_path, 1, 0.0, 1, "2 3 ")
    process(tmp_path, 2, 0.0, 1, "4")
    process(tmp_path, 4, 0.0, 1)
    assert with_children([1], tmp_path) == {1, 2, 3, 4}


def test_cpu_time_is_since_the_last_look_of_those_that_came_too(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    process(tmp_path, 1, 5.0, 10)
    assert meter.cpu_and_memory([1]) == (0.0, 10 * PAGE)
    process(tmp_path, 1, 5.5, 10, "2")
    process(tmp_path, 2, 0.25, 3)
    spent, rss = meter.cpu_and_memory([1])
    assert spent == pytest.approx(0.75)
    assert rss == 13 * PAGE


def test_one_that_went_takes_nothing_back(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    process(tmp_path, 1, 5.0, 10)
    process(tmp_path, 2, 9.0, 10)
    meter.cpu_and_memory([1, 2])
    (tmp_path / "2" / "stat").unlink()
    process(tmp_path, 1, 6.0, 10)
    assert meter.cpu_and_memory([1, 2])[0] == pytest.approx(1.0)
