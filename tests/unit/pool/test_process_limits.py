"""A manager, as it starts from a shell: it leaves no core dump and may have its connections."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

SOON_S = 60.0


def limits_of(pid: int) -> dict[str, str]:
    """The soft limits of a process, by the kernel's names."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:47].strip() for line in lines}


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= 512, reason="no more than 512 are allowed"
)
def test_a_manager_leaves_no_core_and_takes_more_descriptors_than_a_shell_gives(
    tmp_path: Path,
) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    narrow = f"ulimit -c unlimited 2>/dev/null; ulimit -S -n 512; exec {sys.executable}"
    arguments = f"-m eais_pool.manager --state-dir {tmp_path / 'pool'}"
    environ = {name: text for name, text in os.environ.items() if not name.startswith("EAIS_")}
    with subprocess.Popen(
        ["bash", "-c", f"{narrow} {arguments}"], env={**environ, "EAIS_ENROLMENT_PORT": "0"}
    ) as manager:
        try:
            end = time.monotonic() + SOON_S
            while not (tmp_path / "pool" / "ready.json").exists():
                assert manager.poll() is None
                assert time.monotonic() < end
                time.sleep(0.05)
            found = limits_of(manager.pid)
        finally:
            manager.terminate()
    assert found["Max core file size"] == "0"
    assert int(found["Max open files"]) == min(65_536, hard)
