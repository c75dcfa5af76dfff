from __future__ import annotations

from collections.abc import Callable

import pytest

from eais_client.cpu_load import CpuLoad, loadavg, read_stat


def looks(*texts: str) -> Callable[[], str]:
    said = iter(texts)
    return lambda: next(said)


def minute() -> float:
    return 0.3


def test_it_is_the_share_of_the_time_between_two_looks_that_the_cores_worked() -> None:
    stat = looks(
        "cpu  100 0 50 800 50 0 0 0 30 0\ncpu0 1 1 1 1\n",
        "cpu  160 0 60 820 60 0 0 0 90 0\n",
        "cpu  160 0 60 920 60 0 0 0 90 0\n",
    )
    load = CpuLoad(stat, minute)
    assert load.look() == pytest.approx(0.7)
    assert load.look() == 0.0


@pytest.mark.parametrize("text", ["", "cpu\n", "intr 5\n", "cpu a b\n", "cpu 0 0 0 0 0\n"])
def test_where_the_kernel_counts_nothing_it_is_the_load_of_the_last_minute(text: str) -> None:
    assert CpuLoad(lambda: text, minute).look() == 0.3
    assert CpuLoad(lambda: text, lambda: 9.0).look() == 1.0


def test_ticks_that_went_back_are_no_load_outside_of_0_to_1() -> None:
    stat = looks("cpu 100 0 0 100\n", "cpu 50 0 0 400\n")
    assert CpuLoad(stat, minute).look() == 0.0


def test_this_machines_own_load_can_be_read() -> None:
    assert read_stat().startswith("cpu")
    assert 0 <= CpuLoad().look() <= 1
    assert loadavg() >= 0
