from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from eais_server.listener.oom_kills import LOOK_EVERY_S, OomKills

PID = 77
V1, V2 = "4:memory:/box/a\n3:cpuset:/\n0::/x\n", "0::/box/a\n"


@dataclass
class Kernel:
    """Its files, as the test writes them."""

    root: Path
    kills: OomKills
    clock: float = 0.0

    def count(self, host: int, own: int | None = None, version: str = V2) -> None:
        """So many kills on the host, and in the worker's cgroup."""
        (self.root / "proc" / str(PID)).mkdir(parents=True, exist_ok=True)
        (self.root / "proc" / str(PID) / "cgroup").write_text(version)
        (self.root / "proc/vmstat").write_text(f"nr_free_pages 5\noom_kill {host}\nswap_ra 0\n")
        group = self.root / "cgroup" / ("memory/box/a" if version == V1 else "box/a")
        group.mkdir(parents=True, exist_ok=True)
        name = "memory.oom_control" if version == V1 else "memory.events"
        (group / name).unlink(missing_ok=True)
        if own is not None:
            (group / name).write_text(f"oom_kill_disable 0\nunder_oom 0\noom_kill {own}\n")

    def look(self, seconds: float = LOOK_EVERY_S) -> None:
        self.clock += seconds
        self.kills.look(1, PID, self.clock)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path, OomKills(tmp_path / "proc", tmp_path / "cgroup"))


@pytest.mark.parametrize("version", [V1, V2])
def test_a_kill_in_the_workers_cgroup_is_its(kernel: Kernel, version: str) -> None:
    kernel.count(host=3, own=1, version=version)
    kernel.look()
    kernel.count(host=4, own=2, version=version)
    assert kernel.kills.killed(1)


@pytest.mark.parametrize("version", [V1, V2])
def test_a_kill_in_another_cgroup_isnt(kernel: Kernel, version: str) -> None:
    kernel.count(host=3, own=1, version=version)
    kernel.look()
    kernel.count(host=4, own=1, version=version)
    assert not kernel.kills.killed(1)


def test_without_a_cgroup_the_hosts_count_decides(kernel: Kernel) -> None:
    kernel.count(host=3)
    kernel.look()
    kernel.count(host=4)
    assert kernel.kills.killed(1)


def test_nothing_grew(kernel: Kernel) -> None:
    kernel.count(host=3, own=1)
    kernel.look()
    assert not kernel.kills.killed(1)


def test_kills_before_the_last_look_are_others(kernel: Kernel) -> None:
    kernel.count(host=3, own=1)
    kernel.look()
    kernel.count(host=4, own=2)
    kernel.look()
    assert not kernel.kills.killed(1)


def test_looks_in_quick_succession_are_one(kernel: Kernel) -> None:
    kernel.count(host=3, own=1)
    kernel.look()
    kernel.count(host=4, own=2)
    kernel.look(LOOK_EVERY_S / 2)
    assert kernel.kills.killed(1)


def test_a_worker_that_was_never_looked_at_wasnt_killed_so(kernel: Kernel) -> None:
    kernel.count(host=3, own=1)
    assert not kernel.kills.killed(1)


def test_without_the_kernels_files_nobody_was_killed_so(kernel: Kernel) -> None:
    kernel.look()
    assert not kernel.kills.killed(1)


def test_a_cgroup_that_went_with_its_worker_leaves_it_to_the_host(kernel: Kernel) -> None:
    kernel.count(host=3, own=1)
    kernel.look()
    kernel.count(host=4, own=None)
    assert kernel.kills.killed(1)


def test_the_real_kernels_counters_are_found() -> None:
    assert "oom_kill " in Path("/proc/vmstat").read_text()
