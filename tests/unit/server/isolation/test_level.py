from __future__ import annotations

import os
from pathlib import Path

import pytest

from eais_server.isolation import (
    IsolationUnavailable,
    WorkerConfinement,
    WorkerLimits,
    confine,
    probe_level,
)


@pytest.mark.parametrize("abi", [6, 7, 11, 40])
def test_landlock_that_scopes_signals_gives_level_2(abi: int) -> None:
    probe = probe_level(abi, seccomp=True)
    assert (probe.level, probe.landlock_abi, probe.reason) == (2, abi, "")


@pytest.mark.parametrize(
    ("abi", "reason"),
    [
        (0, "the kernel has no Landlock, or it is switched off"),
        (1, "Landlock ABI 1 is below 6 (Linux 6.12)"),
        (5, "Landlock ABI 5 is below 6 (Linux 6.12)"),
    ],
)
def test_a_host_with_less_landlock_is_level_1_and_says_why(abi: int, reason: str) -> None:
    probe = probe_level(abi, seccomp=True)
    assert (probe.level, probe.reason) == (1, reason)


def test_a_host_without_seccomp_is_level_1() -> None:
    assert probe_level(7, seccomp=False).level == 1


def test_asking_this_host_changes_nothing() -> None:
    assert probe_level() == probe_level()
    assert any(Path("/").iterdir())


def test_level_2_is_refused_where_the_host_gives_level_1(tmp_path: Path) -> None:
    spec = WorkerConfinement(tmp_path, os.getppid(), level=2, limits=WorkerLimits())
    with pytest.raises(IsolationUnavailable, match="Landlock ABI 5 is below 6") as caught:
        confine(spec, abi=5)
    assert caught.value.reason == "Landlock ABI 5 is below 6 (Linux 6.12)"
    assert any(Path("/").iterdir())
