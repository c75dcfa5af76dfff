"""Many lives of instances and streams, after which listener and worker are as they were."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2, value_pb2
from eais.testing.values import encode_value
from eais.value import Deferred
from tests.system.raw import open_session, run_once
from tests.system.stack import Stack, embedded_pool, eventually, op
from tests.unit.server.runtime import models

WARM, CYCLES = 20, 200
# Allocators keep some of what they had; a leak of 64 KiB a cycle would be more.
MOST_GROWTH_KIB = 8 << 10
CONFIG = "[listener]\ncpu_cores = 4\nsession_idle_s = 0.5\n"


def process_of(stack: Stack, title: str) -> int:
    """The process of this pool's that is called so."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace")
                log = (entry / "fd" / "1").readlink()
            except OSError:
                continue
            if line.startswith(title) and log.is_relative_to(stack.state):
                return int(entry.name)
    raise AssertionError(f"no {title}")


def kib(pid: int) -> int:
    """Private memory."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


def counts(pid: int) -> tuple[int, int]:
    """Descriptors and threads."""
    process = Path(f"/proc/{pid}")
    return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))


def settled(pid: int, want: tuple[int, int]) -> None:
    """Closed connections are noticed a little later; threads of pools may be fewer than before."""

    def back() -> bool | None:
        found = counts(pid)
        return (found[0] <= want[0] and found[1] <= want[1]) or None

    try:
        eventually(back, "counts return")
    except AssertionError:
        raise AssertionError(f"descriptors and threads: {counts(pid)}, before {want}") from None


def attach(stack: Stack) -> pool_pb2.Instance:
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made: pool_pb2.Instance = stack.ask(verbs.POOL_ATTACH, request).instance
    return made


def detach(stack: Stack, made: pool_pb2.Instance) -> None:
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))


def call(stack: Stack, made: pool_pb2.Instance) -> None:
    """Open a session and run it, on connections of their own."""
    session = open_session(stack, made, models.dataset("mul_1"), {}).id
    x = encode_value(np.ones((3, 2), np.float32), Deferred())
    assert run_once(stack, made, session, [value_pb2.NamedValue(name="X", value=x)]).outputs


def live(stack: Stack, lives: int) -> None:
    for _ in range(lives):
        made = attach(stack)
        call(stack, made)
        detach(stack, made)


def nothing_left(stack: Stack) -> bool | None:
    own = stack.state / "listener"
    left = [path for name in ("leases", "specs", "usage") for path in (own / name).iterdir()]
    return not left or None


@pytest.mark.slow
def test_instances_come_and_go_without_a_trace(tmp_path: Path) -> None:
    with embedded_pool(tmp_path, CONFIG) as stack:
        listener = process_of(stack, "eais-listener")
        live(stack, WARM)
        eventually(lambda: nothing_left(stack), "the warm-up's files go")
        before, memory = counts(listener), kib(listener)
        live(stack, CYCLES)
        eventually(lambda: nothing_left(stack), "all files go")
        settled(listener, before)
        assert kib(listener) - memory < MOST_GROWTH_KIB
        folders = stack.state / "listener" / "workers"
        eventually(lambda: len(list(folders.iterdir())) == 1 or None, "the spare's folder alone")


@pytest.mark.slow
def test_streams_come_and_go_without_a_trace(tmp_path: Path) -> None:
    with embedded_pool(tmp_path, CONFIG) as stack:
        made = attach(stack)
        worker = process_of(stack, f"eais-worker {made.id}")
        for _ in range(WARM):
            call(stack, made)
        before, memory = counts(worker), kib(worker)
        for _ in range(CYCLES):
            call(stack, made)
        settled(worker, before)
        assert kib(worker) - memory < MOST_GROWTH_KIB
