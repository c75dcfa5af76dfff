"""Only processes of the right title are killed, and they are seen to end."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from eais.errors import UsageError
from eais_client.load.brain.scenario import Victim
from eais_client.load.victims import kill, victim_of

INSTANCE = "ei-00000000000000aa"
CAT = shutil.which("cat")


@contextmanager
def titled(title: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose command line begins with `title`, until the block ends."""
    pipe = subprocess.PIPE
    with subprocess.Popen([title], executable=CAT, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # It answers once its title is its own.
        process.stdin.write(b"there\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"there\n"
        yield process


def test_a_worker_is_found_by_its_title_and_seen_to_end() -> None:
    with titled(f"eais-worker {INSTANCE}") as worker:
        pid, title = victim_of(INSTANCE, "local", Victim.WORKER)
        assert pid == worker.pid
        death = kill(pid, title, Victim.WORKER)
        assert worker.wait(10) == -9
    assert (death.said, death.before) == (f"worker {pid}", frozenset({pid}))
    assert death.gone >= death.sent


def test_a_listener_that_is_not_above_the_worker_is_not_killed() -> None:
    with titled(f"eais-worker {INSTANCE}"), titled("eais-listener") as other:
        with pytest.raises(UsageError, match="can't be seen from here"):
            victim_of(INSTANCE, "local", Victim.LISTENER)
        assert other.poll() is None


def test_what_has_another_title_is_not_killed() -> None:
    with titled("eais-worker ei-00000000000000ab") as other:
        with pytest.raises(UsageError, match="no worker of ei-00000000000000aa, which is on h2,"):
            victim_of(INSTANCE, "h2", Victim.WORKER)
        with pytest.raises(UsageError, match="had ended before it could be killed"):
            kill(other.pid, f"eais-worker {INSTANCE}", Victim.WORKER)
        assert other.poll() is None


def test_what_has_ended_is_said() -> None:
    with titled(f"eais-worker {INSTANCE}") as worker:
        pid = worker.pid
    with pytest.raises(UsageError, match="had ended before it could be killed"):
        kill(pid, f"eais-worker {INSTANCE}", Victim.WORKER)
