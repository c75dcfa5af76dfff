"""What a running worker is like from outside, and hosts that can't confine it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais_server.isolation import ALLOWED_ENVIRONMENT, probe_level
from tests.system.raw import open_session, refusal
from tests.system.stack import Stack, embedded_pool, eventually, op
from tests.unit.server.runtime import models

CAP_DAC_READ_SEARCH = 1 << 2
SECCOMP_FILTER, SECCOMP_OFF = "2", "0"


def attach(stack: Stack, tenant: str = "default", name: str = "owner") -> pool_pb2.Instance:
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made: pool_pb2.Instance = stack.ask(
        verbs.POOL_ATTACH, request, stack.frontend(tenant, name)
    ).instance
    return made


def detach(stack: Stack, made: pool_pb2.Instance, name: str = "owner") -> None:
    request = pool_pb2.InstanceRequest(op_id=op(), instance=made.id)
    stack.ask(verbs.POOL_DETACH, request, stack.frontend(made.tenant, name))


@pytest.fixture
def instance(stack: Stack) -> Iterator[pool_pb2.Instance]:
    made = attach(stack)
    yield made
    detach(stack, made)


def workers_of(stack: Stack) -> dict[int, str]:
    """Process id -> title of each worker whose directory is this pool's."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            own = (entry / "cwd").readlink()
            title = (entry / "cmdline").read_bytes().rstrip(b"\0").decode()
        except OSError:
            continue
        if own.is_relative_to(stack.state / "listener" / "workers"):
            found[int(entry.name)] = title
    return found


def worker_of(stack: Stack, title: str) -> int | None:
    """One that has threads: before it is confined it starts none."""
    found = (pid for pid, its in workers_of(stack).items() if its == title)
    return next((pid for pid in found if len(os.listdir(f"/proc/{pid}/task")) > 1), None)


def pid_of(stack: Stack, title: str) -> int:
    return eventually(lambda: worker_of(stack, title), f"{title} runs")


def status_of(pid: int) -> list[dict[str, str]]:
    """The status of each of its threads."""
    texts = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [dict(re.findall(r"(\w+):\s*(.*)", text)) for text in texts]


def check_confined(pid: int, level: int) -> None:
    for found in status_of(pid):
        assert found["NoNewPrivs"] == "1"
        assert found["Seccomp"] == (SECCOMP_FILTER if level == 2 else SECCOMP_OFF)
        for capabilities in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(found[capabilities], 16) & ~CAP_DAC_READ_SEARCH == 0
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)
    if os.geteuid():  # the files of a process that may not be dumped are root's
        assert Path(f"/proc/{pid}/environ").stat().st_uid == 0


def check_descriptors(pid: int, log: Path) -> None:
    """Nothing is open but its output, its sockets, its pages, and what event loops are made of."""
    # A spare that still imports has its libraries' files and folders open, for a moment.
    targets = eventually(lambda: settled_descriptors(pid), "only descriptors that stay")
    assert targets[0] == "/dev/null"
    assert Path(targets[1]) == Path(targets[2]) == log
    sockets = {int(t[8:-1]) for t in targets.values() if t.startswith("socket:[")}
    udp = {line.split()[9] for line in Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]}
    assert not sockets & set(map(int, udp))


def settled_descriptors(pid: int) -> dict[int, str] | None:
    """What each descriptor is; None while there is one that shouldn't stay."""
    try:
        targets = {int(fd.name): str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    except FileNotFoundError:  # closed between the listing and the look
        return None
    others = [target for fd, target in targets.items() if fd > 2 and target != "/dev/urandom"]
    kinds = r"(socket|pipe|anon_inode):|/memfd:eais-(worker|turns) \(deleted\)$"
    kinds += r"|.*/listener/counts/[^/]+$"
    strange = [t for t in others if not re.match(kinds, t)]
    return None if strange else targets


def check_environment(pid: int) -> None:
    # The title lies over a part of it.
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    names = {entry.split(b"=")[0].decode() for entry in entries if b"=" in entry}
    assert names <= ALLOWED_ENVIRONMENT


def check_folder(pid: int, stack: Stack) -> Path:
    own = Path(f"/proc/{pid}/cwd").readlink()
    assert own.parent == stack.state / "listener" / "workers"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    return own


@pytest.mark.parametrize("adopted", [False, True], ids=["spare", "adopted"])
def test_a_running_worker_is_confined(
    stack: Stack, instance: pool_pb2.Instance, adopted: bool
) -> None:
    opened = open_session(stack, instance, models.dataset("mul_1"), {})
    pid = pid_of(stack, f"eais-worker {instance.id}" if adopted else "eais-worker (spare)")
    check_confined(pid, probe_level().level)
    check_descriptors(pid, stack.state / "listener.log")
    check_environment(pid)
    own = check_folder(pid, stack)
    folders = [path.name for path in own.iterdir()]
    assert folders == ([f"{opened.id[:8]}-{folders[0][9:]}"] if adopted else [])


def test_an_adopted_worker_is_never_anothers(stack: Stack, instance: pool_pb2.Instance) -> None:
    mine = pid_of(stack, f"eais-worker {instance.id}")
    before = set(workers_of(stack))
    other = attach(stack, "other", "f2")
    theirs = pid_of(stack, f"eais-worker {other.id}")
    assert theirs != mine
    detach(stack, other, "f2")
    eventually(lambda: theirs not in workers_of(stack) or None, "their worker exits")
    again = attach(stack, "third", "f3")
    assert pid_of(stack, f"eais-worker {again.id}") not in {mine, theirs}
    detach(stack, again, "f3")
    assert mine in before & set(workers_of(stack))


def test_below_level_2_there_is_one_tenant(tmp_path: Path) -> None:
    with embedded_pool(tmp_path, "[listener]\ncpu_cores = 4\nisolation = 1\n") as stack:
        assert stack.status().hosts[0].isolation == 1
        first, second = attach(stack), attach(stack)
        assert [made.workers[0].isolation for made in (first, second)] == [1, 1]
        check_confined(pid_of(stack, f"eais-worker {first.id}"), level=1)
        error = refusal(attach, stack, "other", "f2")
        assert error.reason == "ISOLATION_UNAVAILABLE"
        assert first.id not in str(error)
        assert "default" not in str(error)
        detach(stack, second)
        detach(stack, first)
        other = attach(stack, "other", "f2")
        assert other.workers[0].isolation == 1
