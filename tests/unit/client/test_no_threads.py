"""A process that can start no thread for a while: calls go on once there are some again."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eais
from eais.errors import Unavailable
from eais.identity import Identity
from eais_client.background import Callbacks, ThreadAlarm, no_thread
from eais_client.config import ClientConfig
from eais_client.data_stream import GrpcDataStream
from eais_client.fallback import _Alarm
from eais_client.frontend import FrontEnd
from eais_client.h2_carrier import H2Carrier
from eais_client.led_stream import LedStream
from eais_client.testing import FakeClock, FakeWire, fake_instance
from eais_client.testing.conformance import own_models
from eais_client.testing.fake_tools import FakeAlarm, FakeTools
from tests.unit.client.ort_host import OrtHost
from tests.unit.client.served import POOL, WAIT_S, Heard, ScriptedWorker, rig
from tests.unit.client.test_fallback import AWAY, Stand

MUL = own_models()["mul_1"]
FEED = {"X": np.ones((3, 2), np.float32)}
RUN_OUT = RuntimeError("can't start new thread")


class Scarce:
    """Threads, the first of which with one of `names` can't be started."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    def spawn(self, name: str, job: Callable[[], Any]) -> None:
        if name in self.names:
            self.names.remove(name)
            raise RUN_OUT
        job()


@pytest.mark.parametrize("names", [["eais-connect"], ["eais-connect", "eais-find"]])
def test_what_found_no_thread_is_tried_again(names: list[str]) -> None:
    fakes, scarce, wire = FakeTools(), Scarce(*names), FakeWire(OrtHost(), fake_instance())
    tools = replace(fakes.tools(), spawn=scarce.spawn)
    frontend = FrontEnd(wire, ClientConfig.for_test(), tools)
    session = eais.InferenceSession(MUL, frontend=frontend)
    fakes.jump()
    assert session.run(None, FEED)
    assert scarce.names == []


def test_a_stream_that_finds_no_thread_breaks_and_is_opened_again() -> None:
    fakes, wire = FakeTools(), FakeWire(OrtHost(), fake_instance())
    frontend = FrontEnd(wire, ClientConfig.for_test(), fakes.tools())
    session = eais.InferenceSession(MUL, frontend=frontend)
    fakes.jump()
    wire.fail_next("start", Unavailable("HOST_UNREACHABLE", "no thread"))
    assert session.run(None, FEED)
    assert len(wire.streams) == 2


def test_a_stream_that_isnt_needed_is_closed_also_without_a_thread() -> None:
    fakes, scarce = FakeTools(), Scarce("eais-disconnect")
    wire = FakeWire(OrtHost(), fake_instance())
    tools = replace(fakes.tools(), spawn=scarce.spawn)
    frontend = FrontEnd(wire, ClientConfig.for_test(), tools)
    session = eais.InferenceSession(MUL, frontend=frontend)
    session.run(None, FEED)
    frontend.attachment(wire.change("ei-1", workers=()))
    assert scarce.names == []
    assert not wire.streams[0].open


def test_an_alarm_that_found_no_thread_is_set_with_the_next(monkeypatch: Any) -> None:
    clock, rung = FakeClock(), threading.Event()
    alarm = ThreadAlarm(clock, rung.set)
    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", _run_out)
        with pytest.raises(Unavailable, match="thread"):
            alarm.wake_at(clock.now)
    alarm.wake_at(clock.now)
    assert rung.wait(WAIT_S)
    alarm.close()


def test_an_asyncio_session_that_found_no_thread_is_opened_by_the_next_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire = FakeWire(OrtHost(), fake_instance())
    frontend = FrontEnd(wire, ClientConfig.for_test(), FakeTools().tools())

    async def opened() -> None:
        session = eais.aio.InferenceSession(MUL, frontend=frontend)
        with monkeypatch.context() as without:
            without.setattr(threading.Thread, "start", _run_out)
            with pytest.raises(Unavailable, match="thread"):
                await session.open()
        async with session:
            assert await session.run(None, FEED)

    asyncio.run(opened())


def test_a_process_that_found_no_thread_for_callbacks_begins_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wire = FakeWire(OrtHost(), fake_instance())
    frontend = FrontEnd(wire, ClientConfig.for_test(), FakeTools().tools())
    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", _run_out)
        with pytest.raises(Unavailable, match="thread"):
            eais.InferenceSession(MUL, frontend=frontend)
    session, answered = eais.InferenceSession(MUL, frontend=frontend), threading.Event()
    session.run_async(None, FEED, lambda *_: answered.set(), None)
    assert answered.wait(WAIT_S)
    assert len(wire.watches) == 1


class NoThreadForUploads(FakeWire):
    """A wire on which the first upload finds no thread."""

    tried = False

    def push(self, *args: Any, **more: Any) -> None:
        if not self.tried:
            self.tried = True
            raise RUN_OUT
        super().push(*args, **more)


def test_an_upload_that_found_no_thread_is_tried_again() -> None:
    fakes, wire = FakeTools(), NoThreadForUploads(OrtHost(), fake_instance())
    frontend = FrontEnd(wire, ClientConfig.for_test(), fakes.tools())
    assert eais.InferenceSession(MUL, frontend=frontend).run(None, FEED)
    assert wire.tried


@pytest.fixture
def away() -> Stand:
    """A pool that nobody reaches, for sessions that answer here meanwhile."""
    stand = Stand()
    stand.away()
    return stand


def test_a_task_whose_call_found_no_thread_here_may_call_again(
    away: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def called() -> None:
        session = eais.aio.InferenceSession(MUL, frontend=away.frontend, fallback="local")
        async with session:
            with monkeypatch.context() as without:
                without.setattr(threading.Thread, "start", _run_out)
                with pytest.raises(Unavailable, match="thread"):
                    await session.run(None, FEED)
            assert await session.run(None, FEED)

    asyncio.run(called())


def test_a_call_with_a_callback_that_found_no_thread_here_leaves_its_room(away: Stand) -> None:
    away.frontend.tools = replace(away.frontend.tools, spawn=Scarce("eais-local").spawn)
    away.frontend.callbacks = Callbacks(limit=1)
    session, answers = away.session(), list[Any]()

    def call() -> None:
        with eais.deadline(WAIT_S, clock=away.fakes.clock):
            session.run_async(None, FEED, lambda *said: answers.append(said[0]), None)

    with pytest.raises(Unavailable, match="thread"):
        call()
    call()
    assert len(answers) == 1


def test_a_session_whose_probes_found_no_thread_falls_back_with_the_next_call() -> None:
    stand, scarce = Stand(), [no_thread()]

    class NoThread(FakeAlarm):
        def start(self) -> None:
            if scarce:
                raise scarce.pop()

    def alarm(ring: Callable[[], None]) -> FakeAlarm:
        probes = isinstance(getattr(ring, "__self__", None), _Alarm)
        stand.fakes.alarms.append((NoThread if probes else FakeAlarm)(stand.fakes.clock, ring))
        return stand.fakes.alarms[-1]

    stand.frontend.tools = replace(stand.frontend.tools, alarm=alarm)
    session = stand.session()
    session.run(None, FEED)
    stand.away()
    assert session.run(None, FEED)
    assert session.stats().falls == 0
    assert session.run(None, FEED)
    assert session.stats().falls == 1
    stand.back()
    stand.pass_until(lambda: not session.fallback_active)


def test_a_probe_that_found_no_thread_is_not_the_last(away: Stand) -> None:
    session = away.session()
    away.back()
    lacking: Any = RUN_OUT
    away.wire.fail_next("list", AWAY, lacking, lacking)
    away.pass_until(lambda: not session.fallback_active)
    assert session.run(None, FEED)


def _run_out(thread: threading.Thread) -> None:
    raise RUN_OUT


@contextlib.contextmanager
def begun(
    folder: Path, transport: str
) -> Iterator[tuple[GrpcDataStream | LedStream, Heard, ScriptedWorker]]:
    with rig(folder) as served:
        worker, heard, dialer = ScriptedWorker(served), Heard(), served.dialer()
        address = served.serve(Identity.worker(POOL, "ei-1", 1), worker.binding)
        made: GrpcDataStream | LedStream
        if transport == "grpcio":
            made = GrpcDataStream(7, dialer.dial(address), heard)
        else:
            made = LedStream(7, H2Carrier(address, dialer.bundle()), heard)
        yield made, heard, worker
        made.close()


@pytest.fixture(params=["grpcio", "h2"])
def stream(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    with begun(tmp_path, request.param) as made:
        yield made


def test_a_data_stream_without_a_thread_says_so(stream: Any, monkeypatch: Any) -> None:
    made, _heard, worker = stream
    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", _run_out)
        with pytest.raises(Unavailable, match="thread"):
            made.start()
    assert worker.heard.empty()


@pytest.fixture
def grpc_stream(tmp_path: Path) -> Iterator[Any]:
    with begun(tmp_path, "grpcio") as made:
        yield made


def test_a_data_stream_breaks_if_grpc_finds_no_thread(grpc_stream: Any, monkeypatch: Any) -> None:
    made, heard, _worker = grpc_stream
    start = threading.Thread.start

    def only_ours(thread: threading.Thread) -> None:
        if not thread.name.startswith("eais-"):
            raise RUN_OUT
        start(thread)

    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", only_ours)
        made.start()
        kind, number, error = heard.next()
    assert (kind, number, error.reason) == ("broken", 7, "HOST_UNREACHABLE")
    assert "thread" in error.message


def test_a_data_stream_that_was_closed_isnt_started(stream: Any) -> None:
    made, _heard, worker = stream
    made.close()
    made.start()
    assert worker.heard.empty()
