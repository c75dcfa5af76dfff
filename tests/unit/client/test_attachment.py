"""An attachment whose process lacks something for a while, and users that come as others go."""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eais
from eais.errors import EaisError, Unavailable
from eais.instance_policy import RingPolicy
from eais.rpc.v1 import listener_pb2
from eais_client.background import Callbacks, no_thread
from eais_client.brain.transport import Transport
from eais_client.config import ClientConfig
from eais_client.frontend import FrontEnd
from eais_client.instances import Address, Worker
from eais_client.testing import FakeWire, fake_instance
from eais_client.testing.conformance import own_models
from eais_client.testing.fake_tools import FakeAlarm, FakeTools
from eais_client.testing.fake_wire import FakeStream
from eais_client.wire import StreamEvents, Timeout
from tests.unit.client.ort_host import OrtHost
from tests.unit.client.served import WAIT_S

MUL, SIGMOID = own_models()["mul_1"], own_models()["sigmoid"]
FEED = {"X": np.ones((3, 2), np.float32)}
NO_FILES = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
LACKS = [NO_FILES, MemoryError(), RuntimeError("can't start new thread")]


class Scarce(FakeWire):
    """A wire of a process that lacks something, a few times.

    Attributes:
        lacks: by what is asked of the wire, what it raises next.
        hold: called as a stream is told to hold something.
        cancel: called as a stream is told to cancel a call.
    """

    def __init__(self) -> None:
        super().__init__(OrtHost(), fake_instance())
        self.lacks: dict[str, deque[Exception]] = {}
        self.hold: Callable[[str], None] = lambda _session: None
        self.cancel: Callable[[int], None] = lambda _call: None

    def lack(self, what: str, *errors: Exception) -> None:
        self.lacks[what] = deque(errors)

    def need(self, what: str) -> None:
        if self.lacks.get(what):
            raise self.lacks[what].popleft()

    def stream(
        self,
        number: int,
        worker: Address,
        events: StreamEvents,
        transport: Transport = Transport.AUTO,
        ring: RingPolicy = RingPolicy.AUTO,
    ) -> FakeStream:
        self.need("stream")
        self.streams.append(ScarceStream(self, number, worker, events))
        return self.streams[-1]

    def open(
        self, listener: Address, request: listener_pb2.OpenRequest, timeout_s: Timeout
    ) -> listener_pb2.OpenReply:
        self.need("open")
        return super().open(listener, request, timeout_s)

    def locate(
        self, listener: Address, instance: str, epoch: int, timeout_s: Timeout
    ) -> tuple[Worker, ...]:
        self.need("locate")
        return super().locate(listener, instance, epoch, timeout_s)


class ScarceStream(FakeStream):
    """A stream of a `Scarce` wire, which knows what its worker takes to be in use."""

    def __init__(self, wire: Scarce, number: int, worker: Address, events: StreamEvents) -> None:
        super().__init__(wire, number, worker, events)
        self.scarce = wire
        self.in_use: set[str] = set()

    def start(self) -> None:
        self.scarce.need("start")
        super().start()

    def hold(self, session: str) -> None:
        self.scarce.hold(session)
        self.in_use.add(session)

    def release(self, session: str) -> None:
        self.in_use.discard(session)

    def cancel(self, call: int) -> None:
        self.scarce.cancel(call)
        super().cancel(call)


class Stand:
    """A front-end of that wire, on tools that a test chooses."""

    def __init__(self, **tools: Any) -> None:
        self.wire, self.fakes = Scarce(), FakeTools()
        made = replace(self.fakes.tools(), **tools)
        self.frontend = FrontEnd(self.wire, ClientConfig.for_test(), made)

    def session(self, model: Path = MUL) -> eais.InferenceSession:
        session = eais.InferenceSession(model, frontend=self.frontend)
        self.fakes.jump()
        return session


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    return Stand()


@pytest.mark.parametrize("error", LACKS, ids=repr)
@pytest.mark.parametrize("what", ["stream", "start"])
def test_a_connection_that_could_not_be_made_is_tried_again(
    stand: Stand, what: str, error: Exception
) -> None:
    session = stand.session()
    stand.wire.lack(what, error, error)
    assert session.run(None, FEED)
    assert not any(stream.open for stream in stand.wire.streams[:-1])


def test_a_process_that_has_no_descriptors_says_so(stand: Stand) -> None:
    session = stand.session()
    stand.wire.lack("stream", *[NO_FILES] * 1000)
    with pytest.raises(Unavailable, match="Too many open files") as caught:
        session.run(None, FEED)
    assert caught.value.reason == "NO_WORKER"
    stand.wire.lacks.clear()
    assert session.run(None, FEED)


@pytest.mark.parametrize("error", LACKS, ids=repr)
def test_workers_that_could_not_be_asked_for_are_asked_for_again(
    stand: Stand, error: Exception
) -> None:
    session, was = stand.session(), stand.wire.instances["ei-1"]
    stand.wire.change("ei-1", workers=())
    # The listener knows of them again, and the Watch hasn't said so.
    stand.wire.instances["ei-1"] = was
    stand.wire.lack("locate", error, error)
    assert session.run(None, FEED)


@pytest.mark.parametrize("error", LACKS, ids=repr)
def test_a_session_that_could_not_be_opened_again_is_with_the_next_call(
    stand: Stand, error: Exception
) -> None:
    session = stand.session()
    session.run(None, FEED)
    stand.wire.lack("open", error)
    stand.wire.change("ei-1", epoch=2)
    assert not stand.wire.lacks["open"]
    assert session.run(None, FEED)


def test_no_more_than_plain_words_reach_the_caller(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    session = stand.session()
    stand.wire.lack("stream", *[RuntimeError("at 0x7f00")] * 1000)
    with pytest.raises(Unavailable) as caught:
        session.run(None, FEED)
    assert "lacks" in str(caught.value)
    assert "0x7f00" not in str(caught.value)
    assert "0x7f00" in caplog.text


class NoThread(FakeAlarm):
    """An alarm that finds no thread, once."""

    def start(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error

    error: EaisError | None = no_thread()


def test_an_alarm_without_a_thread_is_heard_of_as_the_session_is_opened() -> None:
    fakes = FakeTools()

    def alarm(ring: Callable[[], None]) -> FakeAlarm:
        fakes.alarms.append(NoThread(fakes.clock, ring))
        return fakes.alarms[-1]

    stand = Stand(alarm=alarm, clock=fakes.clock, sleep=fakes.clock.sleep)
    with pytest.raises(Unavailable, match="thread"):
        stand.session()
    session = stand.session()
    fakes.jump()
    assert session.run(None, FEED)


def test_what_was_decided_is_done_also_without_a_thread() -> None:
    stand = Stand(spawn=spawn_but_the_rest)
    session = stand.session()
    session.run(None, FEED)
    stand.wire.holding = True
    ended: list[str] = []
    done = threading.Semaphore(0)

    def callback(_values: Any, _data: Any, error: str) -> None:
        ended.append(error)
        done.release()

    for _ in range(2):
        session.run_async(None, FEED, callback, None)
    interrupts = [KeyboardInterrupt()]

    def cancel(_call: int) -> None:
        if interrupts:
            raise interrupts.pop()

    stand.wire.cancel = cancel
    with pytest.raises(KeyboardInterrupt):
        session.close()
    for _ in range(2):
        assert done.acquire(timeout=WAIT_S)
    assert all("closed" in error for error in ended)


def spawn_but_the_rest(name: str, job: Callable[[], Any]) -> None:
    if name == "eais-act":
        raise RuntimeError("can't start new thread")
    job()


def test_who_goes_as_a_stream_comes_is_not_held_there(stand: Stand) -> None:
    staying, going = stand.session(MUL), stand.session(SIGMOID)
    (attachment,) = stand.frontend._attachments.values()

    def leave() -> None:
        # Whoever opens or closes a session waits until the stream knows of all that there are.
        if attachment._holding.acquire(blocking=False):
            attachment._holding.release()
            going.close()

    def meanwhile(_session: str) -> None:
        stand.wire.hold = lambda _session: None
        other = threading.Thread(target=leave)
        other.start()
        other.join(WAIT_S)

    stand.wire.hold = meanwhile
    assert staying.run(None, FEED)
    going.close()
    (stream,) = stand.wire.streams
    assert isinstance(stream, ScarceStream)
    assert stream.in_use == set(attachment._held)
    assert len(stream.in_use) == 1


def test_a_call_that_another_thread_is_about_to_end_is_late_and_no_more(stand: Stand) -> None:
    session = stand.session()
    session.run(None, FEED)
    (attachment,) = stand.frontend._attachments.values()
    stand.wire.holding = True
    # The thread that reads has taken the worker's refusal in, and was switched out there.
    stand.wire.cancel = attachment._pending.__delitem__
    with eais.deadline(0.01, clock=stand.fakes.clock), pytest.raises(EaisError) as caught:
        session.run(None, FEED)
    assert caught.value.reason == "DEADLINE_EXCEEDED"


def test_a_call_whose_time_was_up_as_it_found_room_leaves_it(stand: Stand) -> None:
    class Late(Callbacks):
        def reserve(self, timeout_s: float | None) -> Callable[[], None] | None:
            stand.fakes.clock.now += 10
            return super().reserve(timeout_s)

    stand.frontend.callbacks = Late(limit=1)
    session, done = stand.session(), threading.Semaphore(0)
    errors: list[str] = []

    def callback(_values: Any, _data: Any, error: str) -> None:
        errors.append(error)
        done.release()

    for seconds in (1.0, 3 * WAIT_S):
        with eais.deadline(seconds, clock=stand.fakes.clock):
            session.run_async(None, FEED, callback, None)
        assert done.acquire(timeout=WAIT_S)
    assert ["deadline" in error for error in errors] == [True, False]
