"""What is asked before a program runs is asked in a child, and its errors are raised here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from eais.errors import EaisError, Unavailable, make_error
from eais_client.run.attached import in_a_child

# In a process of its own: what earlier tests left has threads here that open and close files.
ALL_IS_WELL = """
import os
from eais_client.run.attached import in_a_child
before = sorted(os.listdir("/proc/self/fd"))
in_a_child(lambda: None)
print(sorted(os.listdir("/proc/self/fd")) == before)
"""


def test_where_all_is_well_nothing_is_raised_and_nothing_left_open() -> None:
    command = [sys.executable, "-c", ALL_IS_WELL]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "True\n", done.stdout


def test_the_childs_error_is_raised_here() -> None:
    def fail() -> None:
        raise make_error("POOL_UNREACHABLE", "nobody answers", hint="wait")

    with pytest.raises(Unavailable) as caught:
        in_a_child(fail)
    assert (caught.value.message, caught.value.hint) == ("nobody answers", "wait")


def test_a_bug_in_the_child_is_told() -> None:
    with pytest.raises(EaisError, match="BUG: ZeroDivisionError: integer"):
        in_a_child(lambda: 1 // 0)


def test_a_child_that_was_interrupted_is_no_good_news() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(EaisError, match="CANCELLED"):
        in_a_child(interrupt)


def test_a_child_that_was_killed_is_told() -> None:
    with pytest.raises(EaisError, match="ended without an answer"):
        in_a_child(lambda: os.kill(os.getpid(), 9))


def test_what_the_child_does_is_not_done_here() -> None:
    done: list[int] = []
    in_a_child(lambda: done.append(1))
    assert done == []
