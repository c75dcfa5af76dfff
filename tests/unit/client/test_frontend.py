"""One process as a front-end: what it keeps of instances, and how it ends."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import eais
from eais.deadline import NEVER, Deadline
from eais.errors import EaisError, make_error
from eais.instance import InstanceState
from eais.instance_policy import RingPolicy
from eais.transport.writing import RunWriter
from eais.value import Deferred
from eais_client.background import spawn_thread
from eais_client.brain.transport import Transport
from eais_client.config import ClientConfig
from eais_client.frontend import FrontEnd
from eais_client.instances import Address, Instance
from eais_client.pending import CallbackCall, PendingCall
from eais_client.testing import FakeWire, fake_frontend, fake_instance
from eais_client.testing.conformance import own_models
from eais_client.testing.fake_tools import FakeTools
from eais_client.testing.fake_wire import FakeStream
from eais_client.wire import StreamEvents, Timeout
from tests.unit.client.ort_host import OrtHost

MUL = own_models()["mul_1"]
FEED = {"X": np.ones((3, 2), np.float32)}
WAIT_S = 20.0


class Dialled(FakeWire):
    """A wire that notes which thread dials."""

    def stream(
        self,
        number: int,
        worker: Address,
        events: StreamEvents,
        transport: Transport = Transport.AUTO,
        ring: RingPolicy = RingPolicy.AUTO,
    ) -> FakeStream:
        self.said.append(f"stream by {threading.current_thread().name}")
        return super().stream(number, worker, events, transport, ring)


@pytest.fixture
def wire() -> Dialled:
    return Dialled(OrtHost(), fake_instance())


@pytest.fixture
def fakes() -> FakeTools:
    return FakeTools()


def session_on(frontend: FrontEnd, instance: str = "") -> eais.InferenceSession:
    options = {"instance": instance} if instance else None
    return eais.InferenceSession(MUL, provider_options=options, frontend=frontend)


def test_workers_are_dialled_by_threads_that_no_ctrl_c_reaches(
    wire: Dialled, fakes: FakeTools
) -> None:
    tools = replace(fakes.tools(), spawn=spawn_thread)
    frontend = FrontEnd(wire, ClientConfig.for_test(), tools)
    session_on(frontend).run(None, FEED)
    assert "stream by eais-connect" in wire.said
    frontend.close()


def test_what_was_decided_is_done_though_ctrl_c_comes_between(
    wire: Dialled, fakes: FakeTools
) -> None:
    frontend = fake_frontend(wire, fakes)
    session_on(frontend)
    wire.holding = True
    attachment = frontend.attachment(wire.instances["ei-1"])
    ended: list[PendingCall] = []

    def interrupted(pending: PendingCall) -> None:
        ended.append(pending)
        if len(ended) == 1:
            raise KeyboardInterrupt

    (name,) = wire.sessions
    body = RunWriter("ei-1", name).body([], (), {}, "", Deferred())
    for _ in range(3):
        attachment.submit(name, CallbackCall(body, NEVER, interrupted))
    wire.change("ei-1", state=InstanceState.BOUND)
    with pytest.raises(KeyboardInterrupt):
        wire.streams[0].broke()
    assert len(ended) == 3


def test_at_the_interpreters_end_nobody_is_told_anything(wire: Dialled, fakes: FakeTools) -> None:
    frontend = fake_frontend(wire, fakes)
    session = session_on(frontend)
    session.run(None, FEED)
    wire.holding = True
    told: list[Any] = []
    body = RunWriter("ei-1", "s").body([], (), {}, "", Deferred())
    pending = CallbackCall(body, NEVER, told.append)
    frontend.attachment(wire.instances["ei-1"]).submit(next(iter(wire.sessions)), pending)
    frontend.close(exiting=True)
    wire.streams[0].broke(make_error("CANCELLED", "the channel was closed"))
    assert told == []
    assert not wire.streams[0].open
    assert wire.said[-1] == "close"


def test_of_instances_that_are_gone_nothing_is_kept(fakes: FakeTools) -> None:
    wire = FakeWire(OrtHost(), *(fake_instance(f"ei-{n}") for n in range(1, 9)))
    frontend = fake_frontend(wire, fakes)
    kept = session_on(frontend, "ei-8")
    for n in range(1, 8):
        with session_on(frontend, f"ei-{n}") as session:
            session.run(None, FEED)
        wire.change(f"ei-{n}", state=InstanceState.DELETED, frontend="")
    assert sorted(load.instance for load in frontend.loads()) == ["ei-7", "ei-8"]
    assert list(frontend._known) == []
    kept.run(None, FEED)
    frontend.close()


class Silent(FakeWire):
    """A wire to a pool that keeps silent for as long as it is given."""

    def __init__(self, fakes: FakeTools) -> None:
        super().__init__(OrtHost())
        self._clock = fakes.clock

    def list(self, timeout_s: Timeout) -> tuple[Instance, ...]:
        self._clock.now += timeout_s or 0.0
        raise make_error("POOL_UNREACHABLE", "silent")


@pytest.mark.parametrize(
    ("seconds", "reason"), [(0.2, "DEADLINE_EXCEEDED"), (math.inf, "POOL_UNREACHABLE")]
)
def test_a_deadline_that_passes_is_the_callers_and_no_other_is(
    fakes: FakeTools, seconds: float, reason: str
) -> None:
    frontend = fake_frontend(Silent(fakes), fakes)
    with pytest.raises(EaisError) as caught:
        frontend.select("", Deadline.after(seconds, fakes.clock()))
    assert caught.value.reason == reason
