"""A device whose runtime opens files has workers at level 1, or isn't offered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eais_server.devices.cpu import CpuDriver
from eais_server.isolation import probe_level
from eais_server.listener.isolating import is_usable, within_reach

(CPU,) = CpuDriver(1).fingerprint()
GPU = replace(CPU, id="cuda0", needs=("/dev/nvidiactl", "/dev/nvidia[0-9]*"))
FULL = probe_level(6, seccomp=True)
LESS = probe_level(5, seccomp=True)


def test_cores_are_lent_at_the_highest_level_of_the_host() -> None:
    assert within_reach(FULL, [CPU]) == FULL


def test_a_gpu_has_its_host_at_level_1_and_says_why() -> None:
    found = within_reach(FULL, [CPU, GPU])
    assert found.level == 1
    assert found.reason == "workers of cuda0 open /dev/nvidiactl, /dev/nvidia[0-9]*"


def test_a_host_that_gives_less_says_its_own_reason() -> None:
    assert within_reach(LESS, [CPU, GPU]) == LESS


@pytest.mark.parametrize(("isolation", "usable"), [(0, True), (1, True), (2, False)])
def test_who_sets_level_2_lends_no_device_that_it_shuts_out(isolation: int, usable: bool) -> None:
    assert is_usable(GPU, isolation) is usable
    assert is_usable(CPU, isolation)
