"""What a call cost: of the last one in a thread, and of all of a session."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

import eais
from eais.deadline import NEVER
from eais.errors import EaisError, make_error
from eais.rpc.v1 import worker_pb2
from eais.transport.parts import AnswerPart
from eais.value import Value
from eais_client.account import CallAccount, CallTotals, Sums, measured
from eais_client.pending import CallbackCall, PendingCall
from eais_client.testing import FakeWire, fake_frontend, fake_instance
from eais_client.testing.conformance import own_models
from eais_client.testing.fake_tools import FakeTools
from tests.unit.client.ort_host import OrtHost

MUL = own_models()["mul_1"]
FEED = {"X": np.ones((3, 2), np.float32)}
WAIT_S = 20.0


class SlowHost(OrtHost):
    """A worker at which each run takes three seconds of a clock."""

    def __init__(self, fakes: FakeTools) -> None:
        super().__init__()
        self._fakes = fakes

    def run(
        self, files: Mapping[str, bytes], inputs: Mapping[str, Value], run: worker_pb2.Run
    ) -> list[Value]:
        self._fakes.clock.now += 3.0
        return super().run(files, inputs, run)


class Stand:
    """A pool in memory whose workers say what calls cost."""

    def __init__(self) -> None:
        self.fakes = FakeTools()
        self.wire = FakeWire(SlowHost(self.fakes), fake_instance())
        self.frontend = fake_frontend(self.wire, self.fakes)
        self.wire.account = worker_pb2.Account(
            queue_ns=500_000_000,
            compute_ns=1_000_000_000,
            batch_size=4,
            input_bytes=24,
            output_bytes=28,
        )

    def session(self, **how: Any) -> eais.InferenceSession:
        return eais.InferenceSession(MUL, frontend=self.frontend, **how)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    monkeypatch.delenv("EAIS_FALLBACK", raising=False)
    made = Stand()
    yield made
    made.frontend.close()


def elsewhere(job: Any) -> Any:
    """What `job` gives in another thread."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(job()))
    thread.start()
    thread.join(WAIT_S)
    return found[0]


def test_an_answer_says_what_it_cost(stand: Stand) -> None:
    session = stand.session()
    assert elsewhere(lambda: session.last_call) is None
    session.run(None, FEED)
    account: CallAccount | None = session.last_call
    assert account == CallAccount(
        encode_s=0.0,
        wire_s=1.5,
        queue_s=0.5,
        compute_s=1.0,
        decode_s=0.0,
        batch_size=4,
        input_bytes=24,
        output_bytes=28,
        attempts=1,
        local=False,
    )
    assert account is not None
    assert account.total_s == 3.0


def test_a_call_that_failed_has_no_account(stand: Stand) -> None:
    session = stand.session()
    stand.wire.fail_next("run", make_error("INPUT_SHAPE", "no"))
    with pytest.raises(EaisError):
        session.run(None, FEED)
    assert session.last_call is None
    assert session.stats().totals == CallTotals()


def test_each_thread_has_a_last_call_of_its_own(stand: Stand) -> None:
    session = stand.session()
    session.run(None, FEED)
    assert elsewhere(lambda: session.last_call) is None
    assert elsewhere(lambda: (session.run(None, FEED), session.last_call))[1] is not None


def test_each_session_has_one_in_a_thread_that_uses_several(stand: Stand) -> None:
    sessions = [stand.session() for _ in range(9)]
    for batch_size, session in enumerate(sessions[:8], start=1):
        stand.wire.account.batch_size = batch_size
        session.run(None, FEED)
    sizes = [each.last_call.batch_size for each in sessions[:8] if each.last_call is not None]
    assert sizes == [1, 2, 3, 4, 5, 6, 7, 8]
    sessions[0].run(None, FEED)
    sessions[8].run(None, FEED)
    assert sessions[0].last_call is not None
    assert sessions[1].last_call is None  # used longest ago, and eight since


def test_a_callback_sees_its_own_call(stand: Stand) -> None:
    session = stand.session()
    seen: list[CallAccount | None] = []
    over = threading.Event()

    def called(_results: list[Any], _data: Any, _error: str) -> None:
        seen.append(session.last_call)
        over.set()

    session.run_async(None, FEED, called, None)
    assert over.wait(WAIT_S)
    assert seen[0] is not None
    assert seen[0].batch_size == 4
    assert session.last_call is None


def test_the_totals_are_the_sums(stand: Stand) -> None:
    session = stand.session()
    for _ in range(3):
        session.run(None, FEED)
    stats = session.stats()
    assert (stats.pool_calls, stats.totals) == (
        3,
        CallTotals(
            wire_s=4.5,
            queue_s=1.5,
            compute_s=3.0,
            batch_size=12,
            input_bytes=72,
            output_bytes=84,
            attempts=3,
        ),
    )


def test_what_threads_add_at_the_same_time_is_all_counted() -> None:
    sums, part = Sums(), AnswerPart(1, None, (), 10, 20, 2, 3, 4, 5)

    def add() -> None:
        for _ in range(1000):
            sums.add(measured(part, 1, 0.0, 1.0, 0.0, 3.0, 6.0))
            if sums.calls() % 7 == 0:
                sums.totals()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert sums.calls() == 4000
    totals = sums.totals()
    assert (totals.encode_s, totals.decode_s) == (4000.0, 12000.0)
    assert (totals.batch_size, totals.input_bytes, totals.output_bytes) == (8000, 12000, 16000)
    assert totals.attempts == 4000
    assert totals.wire_s == pytest.approx(8000.0 - 4000 * 30e-9)


def test_what_waited_for_a_worker_with_room_is_told_apart_from_the_wire() -> None:
    part = AnswerPart(1, None, (), 500_000_000, 1_000_000_000, 1, 3, 4, 5)
    sums = Sums()
    sums.add(measured(part, 2, 0.0, 1.0, 5.0, 7.0, 7.5))
    totals = sums.totals()
    assert (totals.encode_s, totals.line_s, totals.wire_s) == (1.0, 4.0, 0.5)
    assert (totals.queue_s, totals.compute_s, totals.decode_s) == (0.5, 1.0, 0.5)


def test_what_ran_in_this_process_says_so(stand: Stand) -> None:
    for what in ("list", "describe", "locate", "open"):
        stand.wire.fail_next(what, *[make_error("POOL_UNREACHABLE", "nobody answers")] * 100)
    session = stand.session(fallback="local")
    session.run(None, FEED)
    assert session.last_call is not None
    assert session.last_call.local
    assert session.stats().totals == CallTotals()


class Interrupted(FakeTools):
    """A front-end's clock that Ctrl-C strikes at, once it is armed."""

    armed = False

    def tools(self) -> Any:
        tools = super().tools()
        object.__setattr__(tools, "clock", self._now)
        return tools

    def _now(self) -> float:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt
        return self.clock.now


def begun(wire: FakeWire, fakes: FakeTools) -> tuple[Any, Any, Any]:
    """An attachment with an open stream, a session on it, and what a call of that is."""
    frontend = fake_frontend(wire, fakes)
    session = eais.InferenceSession(MUL, frontend=frontend)
    session.run(None, FEED)
    work: Any = session.work
    body, _options = work._encode(None, FEED, None)
    return frontend.attachment(wire.instances["ei-1"]), work, body


def test_ctrl_c_while_an_answer_is_taken_costs_nobody_an_answer() -> None:
    fakes = Interrupted()
    wire = FakeWire(OrtHost(), fake_instance())
    attachment, work, body = begun(wire, fakes)
    wire.holding = True
    pending = PendingCall(body, NEVER)
    attachment.submit(work._id, pending)
    fakes.armed = True
    with pytest.raises(KeyboardInterrupt):
        wire.streams[0].release_all()
    assert pending.done
    assert pending.error is None
    assert pending.answer is not None
    assert attachment.load().waiting == 0
    assert attachment.load().answered == 2


def test_ctrl_c_while_a_caller_is_told_does_not_tell_it_twice() -> None:
    wire = FakeWire(OrtHost(), fake_instance())
    attachment, work, body = begun(wire, FakeTools())
    wire.holding = True
    told: list[PendingCall] = []

    def interrupted(pending: PendingCall) -> None:
        told.append(pending)
        raise KeyboardInterrupt

    attachment.submit(work._id, CallbackCall(body, NEVER, interrupted))
    with pytest.raises(KeyboardInterrupt):
        wire.streams[0].release_all()
    assert len(told) == 1
    assert attachment.load().waiting == 0


def test_ctrl_c_while_a_call_is_sent_leaves_nothing_of_it() -> None:
    wire = FakeWire(OrtHost(), fake_instance())
    attachment, work, body = begun(wire, FakeTools())

    class Struck(PendingCall):
        def sent(self, worker: int, stream: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attachment.submit(work._id, Struck(body, NEVER))
    assert attachment.load().waiting == 0
    assert attachment._state.in_flight_bytes == 0
    assert len(wire.streams[0].cancelled) == 1
