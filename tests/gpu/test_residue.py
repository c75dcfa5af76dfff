"""What a tenant leaves in a GPU's memory isn't there for the next.

A worker serves one tenant in its life, so the next one is another process. Sessions of one worker
reuse their arena's memory as it is: it is the same tenant's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.gpu

PROGRAM = Path(__file__).with_name("device_memory.py")


def device_memory(verb: str) -> list[int]:
    done = subprocess.run(
        [sys.executable, PROGRAM, verb], capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


def test_a_new_process_finds_nothing_of_what_a_former_one_left(gpu: None) -> None:
    found, looked_at = device_memory("control")
    assert found == looked_at > 0
    device_memory("fill")
    found, looked_at = device_memory("search")
    assert looked_at > 0
    # Of random words one in 2^32 is the pattern.
    assert found <= looked_at // 1_000_000
