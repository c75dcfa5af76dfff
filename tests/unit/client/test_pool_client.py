"""The pool's verbs: one op_id a call, sent again only while nobody answers."""

from __future__ import annotations

from typing import Any

import pytest

from eais.deadline import deadline
from eais.errors import EaisError, make_error
from eais.instance import InstanceState
from eais.rpc import verbs
from eais.rpc.v1 import hosts_pb2, pool_pb2
from eais_client.operator_client import OperatorClient
from eais_client.pool_client import PoolClient
from eais_client.testing import FakeClock, fake_instance
from eais_client.testing.messages import instance_message


class FakePeer:
    """Answers what it was given, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[Any, Any, float | None]] = []
        self.closed = False

    def call(self, verb: Any, request: Any, timeout_s: float | None) -> Any:
        self.asked.append((verb, request, timeout_s))
        answer = self.answers.pop(0)
        if isinstance(answer, EaisError):
            raise answer
        return answer

    def close(self) -> None:
        self.closed = True


REPLY = pool_pb2.InstanceReply(instance=instance_message(fake_instance()))
AWAY = make_error("POOL_UNREACHABLE", "away")


def client(*answers: Any, patience_s: float = 10.0) -> tuple[PoolClient, FakePeer, FakeClock]:
    peer, clock = FakePeer(*answers), FakeClock()
    made = PoolClient(peer, patience_s=patience_s, clock=clock, sleep=clock.sleep, rng=lambda: 0.5)
    return made, peer, clock


def test_each_verb_asks_what_it_says() -> None:
    pool, peer, _clock = client(*[REPLY] * 8, pool_pb2.ListReply(instances=[REPLY.instance]))
    answers = [
        pool.create("cpu.2"),
        pool.attach(type="cpu"),
        pool.attach(instance="ei-1", start=False),
        pool.start("ei-1"),
        pool.stop("ei-1"),
        pool.detach("ei-1"),
        pool.delete("ei-1"),
        pool.describe("ei-1"),
        *pool.list(),
    ]
    assert {(a.id, a.state, a.epoch, a.frontend) for a in answers} == {
        ("ei-1", InstanceState.IN_USE, 1, "owner")
    }
    assert answers[0].workers == fake_instance().workers
    assert answers[0].listener == fake_instance().listener
    assert [verb for verb, _request, _timeout in peer.asked] == [
        verbs.POOL_CREATE,
        verbs.POOL_ATTACH,
        verbs.POOL_ATTACH,
        verbs.POOL_START,
        verbs.POOL_STOP,
        verbs.POOL_DETACH,
        verbs.POOL_DELETE,
        verbs.POOL_DESCRIBE,
        verbs.POOL_LIST,
    ]
    requests = [request for _verb, request, _timeout in peer.asked]
    assert (requests[1].type, requests[1].no_start) == ("cpu", False)
    assert (requests[2].instance, requests[2].no_start) == ("ei-1", True)
    ids = [request.op_id for request in requests[:7]]
    assert len(set(ids)) == 7
    assert all(len(op_id) == 36 for op_id in ids)


def test_a_lost_answer_is_asked_for_under_the_same_op_id() -> None:
    pool, peer, clock = client(AWAY, make_error("JOURNAL_UNAVAILABLE", "full"), AWAY, REPLY)
    pool.attach(type="cpu")
    assert len({request.op_id for _verb, request, _timeout in peer.asked}) == 1
    assert clock.slept == [0.0125, 0.025, 0.05]


@pytest.mark.parametrize("reason", ["NO_DEVICE", "WRONG_STATE", "QUOTA", "CERT_EXPIRED"])
def test_an_answer_is_an_answer(reason: str) -> None:
    pool, peer, _clock = client(make_error(reason, "no"))
    with pytest.raises(EaisError) as caught:
        pool.start("ei-1")
    assert caught.value.reason == reason
    assert len(peer.asked) == 1


def test_patience_ends() -> None:
    pool, _peer, clock = client(*[AWAY] * 100, patience_s=3.0)
    with pytest.raises(EaisError) as caught:
        pool.list()
    assert caught.value.reason == "POOL_UNREACHABLE"
    assert 2 < sum(clock.slept) <= 3


def test_the_callers_deadline_bounds_each_call() -> None:
    pool, peer, clock = client(*[AWAY] * 100)
    with deadline(0.5, clock=clock), pytest.raises(EaisError):
        pool.list()
    assert sum(clock.slept) <= 0.5
    assert all(timeout is not None and 0 < timeout <= 0.5 for _v, _r, timeout in peer.asked)


def test_status_is_told_in_our_words() -> None:
    device = hosts_pb2.Device(id="cpu0", kind="cpu", capacity_milli=4000, share_limit_milli=4000)
    share = hosts_pb2.ShareUse(instance="ei-1", milli=1000, state="GRANTED")
    use = hosts_pb2.DeviceUse(
        host="local", device=device, free_milli=3000, reachable=True, shares=[share]
    )
    host = hosts_pb2.HostUse(host="local", reachable=True, isolation=2)
    reply = hosts_pb2.PoolStatusReply(pool="p", instances=1, devices=[use], hosts=[host])
    peer = FakePeer(reply)
    with OperatorClient(peer) as operator:
        status = operator.status()
    assert (status.pool, status.instances, status.hosts[0].isolation) == ("p", 1, 2)
    (found,) = status.devices
    assert (found.id, found.host, found.capacity_milli, found.free_milli) == (
        "cpu0",
        "local",
        4000,
        3000,
    )
    assert found.shares[0].state == "GRANTED"
    assert peer.closed
