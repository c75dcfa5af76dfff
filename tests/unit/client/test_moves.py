"""An instance that moves to another back-end while calls are in flight, or that is taken away."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import numpy as np
import pytest

import eais
from eais.errors import AttachmentLost, make_error
from eais.instance import InstanceState
from eais_client.frontend import FrontEnd
from eais_client.instances import Address, Worker
from eais_client.testing import FakeWire, fake_frontend, fake_instance
from eais_client.testing.conformance import own_models
from eais_client.testing.fake_tools import FakeTools
from tests.unit.client.ort_host import OrtHost

MUL = own_models()["mul_1"]
FEED = {"X": np.ones((3, 2), np.float32)}
ELSEWHERE = Address("127.64.16.3", 7100, "h2.listener.pool.internal")
NEW_WORKER = Worker(1, Address("127.64.16.9", 7102, "1.ei-1.pool"))
WAIT_S = 20.0


@pytest.fixture
def wire() -> FakeWire:
    return FakeWire(OrtHost(), fake_instance())


@pytest.fixture
def frontend(wire: FakeWire) -> FrontEnd:
    return fake_frontend(wire, FakeTools())


def called(session: eais.InferenceSession, times: int = 1) -> list[threading.Thread]:
    """Callers whose calls are on their way."""

    def call() -> None:
        session.run(None, FEED)

    threads = [threading.Thread(target=call) for _ in range(times)]
    for thread in threads:
        thread.start()
    return threads


def moved(wire: FakeWire, epoch: int = 2) -> None:
    wire.change("ei-1", epoch=epoch, listener=ELSEWHERE, workers=(NEW_WORKER,))


def test_calls_in_flight_are_answered_where_they_are_and_later_ones_go_to_the_new_worker(
    wire: FakeWire, frontend: FrontEnd
) -> None:
    session = eais.InferenceSession(MUL, frontend=frontend)
    session.run(None, FEED)
    old = wire.streams[0]
    wire.holding = True
    (thread,) = called(session)
    while len(old.sent) < 2:
        threading.Event().wait(0.001)
    moved(wire)
    wire.holding = False
    session.run(None, FEED)
    new = wire.streams[1]
    assert (new.worker, [run.epoch for run in new.sent]) == (NEW_WORKER.address, [2])
    assert new.held == [next(iter(wire.sessions))]
    kept = old.open
    old.release_all()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert kept
    session.run(None, FEED)
    assert not old.open
    assert len(new.sent) == 2
    assert frontend.turnover().retries == 0


@pytest.mark.parametrize("reason", ["DRAINING", "STALE_EPOCH"])
def test_a_refusal_of_the_old_worker_is_no_attempt(
    wire: FakeWire, frontend: FrontEnd, reason: str
) -> None:
    session = eais.InferenceSession(MUL, frontend=frontend)
    session.run(None, FEED)
    wire.instances["ei-1"] = replace(
        wire.instances["ei-1"], epoch=2, listener=ELSEWHERE, workers=(NEW_WORKER,)
    )
    wire.fail_next("run", make_error(reason, "moved"))
    session.run(None, FEED)
    assert wire.streams[1].worker == NEW_WORKER.address
    assert frontend.turnover().retries == 0


def test_what_is_missing_elsewhere_is_brought_there_before_the_endpoints_change(
    wire: FakeWire, frontend: FrontEnd
) -> None:
    session = eais.InferenceSession(MUL, frontend=frontend)
    wire.store.clear()
    wire.said.clear()
    frontend.reopen("ei-1", 2, ELSEWHERE, None)
    assert wire.said == ["open", "push from 0", "open"]
    session.run(None, FEED)
    assert [run.epoch for run in wire.streams[0].sent] == [1]
    moved(wire)
    assert wire.said[3:] == ["open"]


def test_one_that_does_not_bring_what_is_missing_brings_it_when_it_has_moved(
    wire: FakeWire, frontend: FrontEnd
) -> None:
    session = eais.InferenceSession(MUL, frontend=frontend)
    wire.store.clear()
    wire.fail_next("open", make_error("ARGUMENT", "no"))
    frontend.reopen("ei-1", 2, ELSEWHERE, None)
    frontend.reopen("ei-9", 2, ELSEWHERE, None)
    moved(wire)
    np.testing.assert_array_equal(session.run(None, FEED)[0].shape, (3, 2))


def test_who_was_detached_by_an_operator_is_told_so(
    wire: FakeWire, frontend: FrontEnd, caplog: pytest.LogCaptureFixture
) -> None:
    session = eais.InferenceSession(MUL, frontend=frontend)
    with caplog.at_level(logging.INFO, "eais_client"):
        frontend.notice("ei-1", "FORCE_DETACHED", "an operator of the pool detached it")
        frontend.notice("ei-1", "DRAINING", "ei-1 was moved")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    wire.change(
        "ei-1",
        epoch=2,
        state=InstanceState.BINDABLE,
        frontend="",
        listener=None,
        workers=(),
        reason="FORCE_DETACHED",
        detail="an operator of the pool detached it",
    )
    with pytest.raises(AttachmentLost) as error:
        session.run(None, FEED)
    assert error.value.reason == "FORCE_DETACHED"
