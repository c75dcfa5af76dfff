"""The real listener as a process, with real workers; only the manager is a fake."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from eais import channel, tls
from eais.credentials import client_credentials
from eais.identity import Identity
from eais.rpc.client import acall
from eais.rpc.v1 import hosts_pb2, listener_pb2
from eais.rpc.verbs import LISTENER_LOCATE, LISTENER_OPEN, LISTENER_PUSH
from eais_pool.authority import Authority
from eais_server.testing.listener import FakeManager, ListenerProcess, start_listener

POOL = "pool-0a0b0c0d"
ADDRESS, EI = "127.64.9.2", "ei-1"
FRONTEND = Identity.frontend(POOL, "acme", "box")
GRANT = hosts_pb2.Grant(
    instance=EI,
    tenant="acme",
    epoch=5,
    shares=[hosts_pb2.ShareGrant(n=1, device="cpu0", milli=1000)],
    address="127.64.9.16",
    vnic_driver="loopback",
    run_timeout_s=600,
    tolerance="exact",
)


def small_model() -> bytes:
    """One of onnxruntime's own."""
    found = find_spec("onnxruntime")
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "datasets" / "mul_1.onnx").read_bytes()


@dataclass
class Site:
    """A pool's directory with a fake manager, and the listeners that were started in it."""

    root: Path
    authority: Authority
    manager: FakeManager
    started: list[ListenerProcess]

    def start(self, **settings: object) -> ListenerProcess:
        listener = start_listener(
            self.root / "listener",
            self.root / "ready.json",
            flags=["--bind", ADDRESS],
            cpu_cores=4,
            **settings,
        )
        self.started.append(listener)
        return listener

    @asynccontextmanager
    async def managed(self) -> AsyncIterator[FakeManager]:
        await self.manager.start(self.root / "ready.json")
        try:
            yield self.manager
        finally:
            await self.manager.stop()

    @asynccontextmanager
    async def channel(self, plane: Any) -> AsyncIterator[grpc.aio.Channel]:
        bundle = self.authority.bundle(FRONTEND, datetime.now(UTC))
        line = grpc.aio.secure_channel(
            f"{plane.address}:{plane.port}",
            client_credentials(bundle),
            options=channel.client_options(plane.server_name),
        )
        try:
            yield line
        finally:
            await line.close(None)

    async def opened(self, plane: Any, model: bytes) -> listener_pb2.OpenedSession:
        file = listener_pb2.ModelFile(sha256=sha256(model).digest(), size=len(model))
        spec = listener_pb2.SessionSpec(files=[file])
        request = listener_pb2.OpenRequest(instance=EI, epoch=5, spec=spec)
        async with self.channel(plane) as line:
            reply = await _call(line, LISTENER_OPEN, request)
            if reply.missing:
                await _push(line, model)
                reply = await _call(line, LISTENER_OPEN, request)
        session: listener_pb2.OpenedSession = reply.session
        return session

    async def located(self, plane: Any) -> Any:
        request = listener_pb2.LocateRequest(instance=EI, epoch=5)
        async with self.channel(plane) as line:
            (worker,) = (await _call(line, LISTENER_LOCATE, request)).workers
        return worker


async def _call(line: grpc.aio.Channel, verb: Any, request: Any) -> Any:
    return await acall(line, verb, request, timeout_s=30, unreachable="HOST_UNREACHABLE")


async def _push(line: grpc.aio.Channel, model: bytes) -> None:
    chunk = listener_pb2.PushChunk(
        instance=EI, epoch=5, sha256=sha256(model).digest(), size=len(model), data=model
    )
    stub = line.stream_unary(
        LISTENER_PUSH.path,
        listener_pb2.PushChunk.SerializeToString,
        listener_pb2.PushReply.FromString,
    )
    await stub(iter([chunk]))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    now = datetime.now(UTC)
    authority = Authority.create(tmp_path / "ca", POOL, now)
    listener = authority.bundle(Identity.listener(POOL, "local"), now)
    tls.save_bundle(tmp_path / "listener" / "identity.pem", listener)

    def sign(identity: Identity, csr_pem: bytes) -> bytes:
        return authority.issue(identity, csr_pem, datetime.now(UTC), timedelta(hours=1))

    manager = FakeManager(POOL, authority.bundle(Identity.manager(POOL), now), sign)
    found = Site(tmp_path, authority, manager, [])
    yield found
    for started in found.started:
        started.process.kill()
        started.process.wait()


def run(work: Any) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


def children(pid: int) -> dict[int, str]:
    """The processes that `pid` started, and what they are called."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
            title = stat.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(words[1]) == pid:
            found[int(stat.parent.name)] = title.strip()
    return found


def until(condition: Callable[[], Any]) -> Any:
    """Ask the system until it says yes; for processes there is nothing to wait on."""
    limit = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < limit
        os.sched_yield()
    return found


def test_its_life_with_real_workers(site: Site) -> None:
    async def test() -> None:
        async with site.managed() as manager:
            listener = site.start()
            join = await manager.heard("join")
            assert join.user_plane.address == ADDRESS
            manager.command(grant=GRANT)
            granted = await manager.heard("granted")
            assert granted.workers[0].isolation == join.isolation
            session = await site.opened(join.user_plane, small_model())
            assert [value.name for value in session.signature.inputs] == ["X"]
            until(lambda: _titles(listener) == ["eais-worker (spare)", "eais-worker ei-1"])
            await _worker_comes_back(site, listener, join.user_plane)
            await _listener_comes_back(site, manager, listener, join)

    run(test())


def _titles(listener: ListenerProcess) -> list[str]:
    found = sorted(children(listener.process.pid).values())
    return [title for title in found if title.startswith("eais-worker")]


def _worker(listener: ListenerProcess) -> int:
    found = children(listener.process.pid)
    return next((pid for pid, title in found.items() if title.endswith(EI)), 0)


def _loaded_libraries(listener: ListenerProcess) -> set[str]:
    """The packages that the process has mapped anything of."""
    maps = Path(f"/proc/{listener.process.pid}/maps").read_text()
    return {part for line in maps.splitlines() for part in line.split("/")[1:]}


async def _worker_comes_back(site: Site, listener: ListenerProcess, plane: Any) -> None:
    before = await site.located(plane)
    os.kill(_worker(listener), signal.SIGKILL)
    after = before
    while not (after.serving and after.incarnation > before.incarnation):
        after = await site.located(plane)
    assert after.endpoint == before.endpoint
    assert after.incarnation == 2


async def _listener_comes_back(
    site: Site, manager: FakeManager, listener: ListenerProcess, join: hosts_pb2.Join
) -> None:
    before = await site.located(join.user_plane)
    workers = children(listener.process.pid)
    listener.kill()
    until(lambda: not [pid for pid in workers if Path(f"/proc/{pid}").exists()])
    again = site.start()
    rejoined = await manager.heard("join")
    assert rejoined.user_plane == join.user_plane
    assert [lease.epoch for lease in rejoined.leases] == [5]
    after = before
    while not (after.serving and after.incarnation > before.incarnation):
        after = await site.located(join.user_plane)
    assert after.endpoint == before.endpoint
    session = await site.opened(join.user_plane, small_model())
    assert session.signature.inputs
    assert _loaded_libraries(again) & {"onnxruntime", "numpy"} == set()
    assert again.stop() == 0
    assert sorted(path.name for path in (site.root / "listener" / "leases").iterdir()) == [
        "ei-1.1.pem",
        "ei-1.json",
    ]


def test_two_of_one_directory_are_one_too_many(site: Site) -> None:
    async def test() -> None:
        async with site.managed() as manager:
            site.start()
            await manager.heard("join")
            second = site.start()
            assert await asyncio.to_thread(second.process.wait, 30) == 2
            assert "error: LOCKED:" in second.log.read_text()

    run(test())


def test_a_setting_that_cant_be_is_named(site: Site) -> None:
    listener = site.start(spares=-1)
    assert listener.process.wait(30) == 2
    assert "error: CONFIG: [listener] spares = -1" in listener.log.read_text()


def test_it_ends_with_its_parent(site: Site) -> None:
    """The supervisor's death is the listener's, however it came."""
    program = (
        "import sys; from pathlib import Path;"
        "from eais_server.testing.listener import start_listener;"
        "found = start_listener(Path(sys.argv[1]), Path(sys.argv[2]));"
        "print(found.process.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(site.root / "listener"), str(site.root / "ready.json")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
    until(lambda: not Path(f"/proc/{pid}").exists() or _is_dead(pid))


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def test_the_listener_never_imports_a_runtime() -> None:
    program = (
        "import sys, eais_server.listener, eais_server.listener.surroundings;"
        "print([m for m in ('numpy', 'onnxruntime', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert json.loads(done.stdout) == []


def test_it_waits_for_its_identity(site: Site) -> None:
    async def test() -> None:
        identity = site.root / "listener" / "identity.pem"
        away = identity.rename(identity.with_name("away"))
        listener = site.start()
        until(lambda: "waiting for" in listener.log.read_text())
        away.rename(identity)
        async with site.managed() as manager:
            assert (await manager.heard("join")).host == "local"

    run(test())
