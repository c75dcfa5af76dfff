"""The demo as a process: right answers, and nothing left however it ends."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from eais_client.cli.processes import Process
from eais_client.demo.leftovers import family, still_running
from tests.system.stack import eventually
from tests.system.terminal import Terminal


@pytest.fixture
def user(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def untouched(user: Terminal) -> bool:
    """Neither contexts nor pools nor temporary files."""
    return list(user.temp.iterdir()) == [] and list(user.home.iterdir()) == [user.temp]


def test_every_answer_is_onnxruntimes_and_nothing_is_left(user: Terminal) -> None:
    found = user.data("demo", timeout_s=120)
    assert found["bit_exact"] is True
    assert found["models"] == ["resnet50", "magika"]
    assert found["answers"] >= 8 + found["files_identified"]
    assert found["left_behind"] == {"processes": 0, "files": 0}
    times = [name for name in found if name.endswith("_ms")]
    assert len(times) == 8
    assert all(found[name] > 0 for name in times)
    assert untouched(user)


def family_when(user: Terminal, process: subprocess.Popen[str], pattern: str) -> list[Process]:
    """The demo and all that it has started, at the moment when there is such a file."""

    def there() -> bool | None:
        assert process.poll() is None, process.communicate()
        return True if list(user.temp.glob(pattern)) else None

    eventually(there, pattern)
    return family(process.pid)


@pytest.mark.parametrize(
    ("number", "code", "moment"),
    [
        (signal.SIGINT, 130, "eais-demo-*/state/pools/demo/supervisor.lock"),
        (signal.SIGINT, 130, "eais-demo-*/state/pools/demo/listener/leases/*"),
        (signal.SIGTERM, 143, "eais-demo-*/resnet50.onnx"),
    ],
)
def test_nothing_is_left_when_it_is_ended(
    user: Terminal, number: signal.Signals, code: int, moment: str
) -> None:
    process = user.start("demo")
    held = family_when(user, process, moment)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (code, "", "")
    assert still_running(held) == 0
    assert untouched(user)


def test_no_process_outlives_a_demo_that_is_killed(user: Terminal) -> None:
    process = user.start("demo")
    held = family_when(user, process, "eais-demo-*/state/pools/demo/listener/leases/*")
    process.kill()
    process.communicate(timeout=60)
    eventually(lambda: still_running(held) == 0 or None, "every process has ended")
