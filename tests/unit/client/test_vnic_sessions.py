"""Sessions of an instance whose vNIC the kernel makes: the way there comes first, and goes last."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

import eais
from eais.errors import EaisError, make_error
from eais.instance import InstanceState
from eais.net.plan import VnicKey
from eais_client.frontend import FrontEnd
from eais_client.instances import Address, Worker
from eais_client.testing import FakeWire, fake_frontend, fake_instance
from eais_client.testing.conformance import own_models
from eais_client.testing.fake_tools import FakeTools
from eais_client.testing.vnics import fake_vnic
from eais_client.vnic_end import Vnic
from tests.unit.client.ort_host import OrtHost

MUL = own_models()["mul_1"]
FEED = {"X": np.ones((3, 2), np.float32)}
WAIT_S = 20.0

OLD, NEW = fake_vnic("ei-1", "a", 1, 1), fake_vnic("ei-1", "b", 1 << 20, 2)
AWAY = make_error("HOST_UNREACHABLE", "the vxlan isn't there: NET_AGENT: no network agent answers")


def listener(vnic: Vnic) -> Address:
    return Address(vnic.address, 7000, "local.listener.pool.internal")


def worker(vnic: Vnic) -> Worker:
    return Worker(1, Address(vnic.address, 7001, "1.ei-1.pool"))


def key(vnic: Vnic) -> VnicKey:
    assert vnic.end is not None
    return vnic.end.key


class Stand:
    """A front-end with an instance at the old host."""

    def __init__(self) -> None:
        there = replace(
            fake_instance(host="a", vnic=OLD, listener=listener(OLD)), workers=(worker(OLD),)
        )
        self.wire, self.fakes = FakeWire(OrtHost(), there), FakeTools()
        self.frontend: FrontEnd = fake_frontend(self.wire, self.fakes)

    def session(self) -> eais.InferenceSession:
        made = eais.InferenceSession(MUL, frontend=self.frontend)
        self.fakes.jump()
        return made

    def move(self) -> None:
        where = {"host": "b", "vnic": NEW, "listener": listener(NEW), "workers": (worker(NEW),)}
        self.wire.change("ei-1", epoch=2, **where)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    return Stand()


def test_nothing_is_dialled_before_the_way_is_there(stand: Stand) -> None:
    stand.wire.fail_next("reach", make_error("NETDEV", "the kernel refuses eais0"))
    with pytest.raises(EaisError, match="NETDEV: the kernel refuses eais0"):
        stand.session()
    assert "open" not in stand.wire.said
    stand.session().run(None, FEED)
    assert stand.wire.ends == {key(OLD): 1}


def test_an_opening_waits_for_the_way(stand: Stand) -> None:
    stand.wire.fail_next("reach", *[AWAY] * 7)
    stand.session().run(None, FEED)
    assert stand.wire.said.count("open") == 2  # one says what is missing
    assert len(stand.fakes.clock.slept) == 7


def test_an_opening_ends_with_what_the_agent_said(stand: Stand) -> None:
    stand.wire.fail_next("reach", *[AWAY] * 1000)
    with pytest.raises(EaisError) as caught:
        stand.session()
    assert (caught.value.reason, caught.value.message) == (AWAY.reason, AWAY.message)


def test_no_call_is_lost_to_an_agent_that_is_away_for_a_moment(stand: Stand) -> None:
    session = stand.session()
    session.run(None, FEED)
    stand.wire.fail_next("reach", *[AWAY] * 5)
    stand.wire.streams[0].broke()
    session.run(None, FEED)
    assert stand.wire.next_fault("reach") is None
    assert len(stand.wire.streams) == 2


def test_a_call_that_waited_too_long_names_what_was_missing(stand: Stand) -> None:
    session = stand.session()
    session.run(None, FEED)
    stand.wire.fail_next("reach", *[AWAY] * 1000)
    stand.wire.streams[0].broke()
    with pytest.raises(EaisError) as caught:
        session.run(None, FEED)
    assert caught.value.reason == "NO_WORKER"
    assert "NET_AGENT: no network agent answers" in caught.value.message


def test_the_old_way_stays_until_the_last_answer_came_by_it(stand: Stand) -> None:
    session = stand.session()
    session.run(None, FEED)
    old = stand.wire.streams[0]
    stand.wire.holding = True
    thread = threading.Thread(target=lambda: session.run(None, FEED))
    thread.start()
    while len(old.sent) < 2:
        threading.Event().wait(0.001)
    stand.wire.holding = False
    stand.move()
    session.run(None, FEED)
    assert stand.wire.ends == {key(OLD): 1, key(NEW): 1 << 20}
    old.release_all()
    thread.join(WAIT_S)
    session.run(None, FEED)
    assert not thread.is_alive()
    assert stand.wire.ends == {key(NEW): 1 << 20}


def test_the_new_way_is_there_before_the_instance_moves(stand: Stand) -> None:
    session = stand.session()
    stand.wire.store.clear()
    stand.wire.watches[0].reopen("ei-1", 2, listener(NEW), NEW.end)
    assert stand.wire.ends == {key(OLD): 1, key(NEW): 1 << 20}
    stand.move()
    session.run(None, FEED)
    assert stand.wire.ends == {key(NEW): 1 << 20}


@pytest.mark.parametrize(
    "over",
    [{"state": InstanceState.BOUND}, {"state": InstanceState.BINDABLE, "frontend": ""}],
    ids=["stopped", "detached"],
)
def test_no_way_is_left_to_what_is_not_ours_to_call(stand: Stand, over: dict[str, object]) -> None:
    session = stand.session()
    session.run(None, FEED)
    stand.wire.change("ei-1", host="", vnic=Vnic(), listener=None, workers=(), **over)
    with pytest.raises(EaisError):
        session.run(None, FEED)
    assert stand.wire.ends == {}


def test_the_way_stays_while_the_instance_is_granted_again(stand: Stand) -> None:
    session = stand.session()
    there = stand.wire.instances["ei-1"]
    stand.wire.change("ei-1", host="", vnic=Vnic("loopback"), listener=None, workers=())
    assert stand.wire.ends == {key(OLD): 1}
    stand.wire.change("ei-1", **{name: getattr(there, name) for name in ("host", "vnic")})
    stand.wire.change("ei-1", listener=there.listener, workers=there.workers)
    session.run(None, FEED)
    assert stand.wire.ends == {key(OLD): 1}


def test_a_later_plan_is_carried_out_before_the_next_connection(stand: Stand) -> None:
    session = stand.session()
    session.run(None, FEED)
    later = fake_vnic("ei-1", "a", 9, 1)
    stand.wire.change("ei-1", vnic=replace(later))
    stand.wire.streams[0].broke()
    session.run(None, FEED)
    assert stand.wire.ends == {key(OLD): 9}
