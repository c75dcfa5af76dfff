"""A process's memory, limited from outside."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from eais_server.isolation.limits import limit_data

HUNGRY = """
import sys
for line in sys.stdin:
    try:
        held = bytearray(int(line))
        print("got it", flush=True)
    except MemoryError:
        print("no memory", flush=True)
"""
MIB = 1 << 20


@pytest.fixture
def hungry() -> Iterator[subprocess.Popen[str]]:
    """A process that takes as many bytes as each line says."""
    with subprocess.Popen(
        [sys.executable, "-c", HUNGRY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        yield child


def takes(child: subprocess.Popen[str], size: int) -> bool:
    assert child.stdin
    assert child.stdout
    child.stdin.write(f"{size}\n")
    child.stdin.flush()
    return child.stdout.readline() == "got it\n"


def test_another_process_gets_no_more_memory_than_that(hungry: subprocess.Popen[str]) -> None:
    assert takes(hungry, 200 * MIB)
    assert takes(hungry, 1)
    limit_data(hungry.pid, 100 * MIB)
    assert not takes(hungry, 200 * MIB)
    assert takes(hungry, 50 * MIB)


def test_a_lower_limit_stays(hungry: subprocess.Popen[str]) -> None:
    assert takes(hungry, 1)
    limit_data(hungry.pid, 10 * MIB)
    limit_data(hungry.pid, 500 * MIB)
    assert not takes(hungry, 200 * MIB)


def test_a_process_that_has_ended_has_no_limits(hungry: subprocess.Popen[str]) -> None:
    assert hungry.stdin
    hungry.stdin.close()
    hungry.wait()
    with pytest.raises(ProcessLookupError):
        limit_data(hungry.pid, 1)
