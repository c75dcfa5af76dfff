"""Sessions for asyncio over a network in memory: the same core, awaited."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import numpy as np
import pytest

import eais
from eais.errors import EaisError, make_error
from eais.instance import InstanceState
from eais_client.aio import InferenceSession
from eais_client.frontend import FrontEnd
from eais_client.testing import FakeWire, fake_frontend, fake_instance
from eais_client.testing.conformance import (
    check_answers,
    check_bad_models,
    check_bytes,
    check_lists,
    check_mistakes,
    check_outputs,
    check_signature,
    check_threads,
    light_model,
    oracle,
    own_models,
)
from eais_client.testing.conformance_values import check_values
from eais_client.testing.fake_tools import FakeTools
from eais_client.testing.fake_wire import FakeStream
from eais_client.testing.sameness import assert_same
from tests.unit.client.ort_host import OrtHost

MUL = own_models()["mul_1"]
ONES = np.ones((3, 2), np.float32)
FEED = {"X": ONES}
WAIT_S = 20.0
AWAY = make_error("POOL_UNREACHABLE", "nobody answers")


class Stand:
    """A pool in memory, and sessions for asyncio on it."""

    def __init__(self) -> None:
        self.wire = FakeWire(OrtHost(), fake_instance())
        self.fakes = FakeTools()
        self.frontend: FrontEnd = fake_frontend(self.wire, self.fakes)
        self.expected = oracle(MUL).run(None, FEED)

    def session(self, model: Any = MUL, *more: Any, **how: Any) -> InferenceSession:
        return eais.aio.InferenceSession(model, *more, frontend=self.frontend, **how)

    @property
    def stream(self) -> FakeStream:
        return self.wire.streams[-1]

    def attachment(self) -> Any:
        return self.frontend.attachment(self.wire.instances["ei-1"])


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    monkeypatch.delenv("EAIS_FALLBACK", raising=False)
    made = Stand()
    yield made
    made.frontend.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, WAIT_S))


async def until(done: Callable[[], bool]) -> None:
    left = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < left
        await asyncio.sleep(0)


async def reason_of(work: Any) -> str:
    with pytest.raises(EaisError) as caught:
        await work
    return caught.value.reason


class Blocking:
    """A session for asyncio as the checks of blocking ones take it: each call has its own loop."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        run(session.open())

    def run(self, *args: Any) -> Any:
        return run(self._session.run(*args))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


@pytest.mark.parametrize(
    "check",
    [
        check_bad_models,
        check_bytes,
        check_lists,
        check_mistakes,
        check_outputs,
        check_threads,
        lambda maker: check_values(maker, oracle),
        *(
            lambda maker, path=path, each=each: each(maker, path)
            for path in [*own_models().values(), light_model("light_squeezenet")]
            for each in (check_signature, check_answers)
        ),
    ],
)
def test_it_conforms_to_onnxruntime(stand: Stand, check: Callable[[Any], None]) -> None:
    check(lambda *args, **more: Blocking(stand.session(*args, **more)))


def test_it_is_opened_by_its_first_run(stand: Stand) -> None:
    async def work() -> None:
        session = stand.session()
        assert repr(session) == "<eais.aio.InferenceSession not open>"
        assert_same(await session.run(None, FEED), stand.expected)
        assert repr(session).startswith("<eais.aio.InferenceSession <session ")
        assert [arg.name for arg in session.get_inputs()] == ["X"]

    run(work())


def test_it_is_opened_by_a_with_block_or_awaited(stand: Stand) -> None:
    async def work() -> None:
        async with stand.session() as session:
            assert [arg.name for arg in session.get_outputs()] == ["Y"]
            assert_same(await session.run(["Y"], FEED), stand.expected)
        assert await reason_of(session.run(None, FEED)) == "SESSION_CLOSED"
        again = await stand.session()
        assert again.get_modelmeta() is not None
        assert again.get_overridable_initializers() == []
        assert not again.fallback_active

    run(work())


def test_many_that_need_it_open_it_once(stand: Stand) -> None:
    async def work() -> None:
        session = stand.session()
        await asyncio.gather(*(session.run(None, FEED) for _ in range(10)))
        assert session.stats().pool_calls == 10

    run(work())
    assert stand.wire.said.count("push from 0") == 1
    assert len([said for said in stand.wire.said if said == "list"]) == 1


def test_what_needs_an_open_session_says_so(stand: Stand) -> None:
    session = stand.session()
    with pytest.raises(EaisError, match="the session is not open"):
        session.get_inputs()
    with pytest.raises(EaisError, match="the session is not open"):
        session.stats()


def test_an_opening_that_failed_is_told_and_may_be_tried_again(stand: Stand) -> None:
    async def work() -> None:
        session = stand.session()
        stand.wire.fail_next("open", make_error("MODEL_PARSE", "not a model"))
        assert await reason_of(session.open()) == "MODEL_PARSE"
        assert_same(await session.run(None, FEED), stand.expected)

    run(work())


class Opening:
    """Keeps openings back until it is told to let them go."""

    def __init__(self, stand: Stand) -> None:
        self.began, self.go = threading.Event(), threading.Event()
        self._list = stand.wire.list
        stand.wire.list = self.list  # type: ignore[method-assign]

    def list(self, timeout_s: Any) -> Any:
        self.began.set()
        assert self.go.wait(WAIT_S)
        return self._list(timeout_s)


def test_an_opening_that_nobody_awaits_any_more_goes_on_for_others(stand: Stand) -> None:
    opening = Opening(stand)

    async def work() -> None:
        session = stand.session()
        first, second = (asyncio.create_task(session.open()) for _ in range(2))
        await until(opening.began.is_set)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        opening.go.set()
        await second
        assert_same(await session.run(None, FEED), stand.expected)

    run(work())


def test_one_that_is_closed_while_it_is_opened_ends(stand: Stand) -> None:
    opening = Opening(stand)

    async def work() -> None:
        session = stand.session()
        task = asyncio.create_task(session.run(None, FEED))
        await until(opening.began.is_set)
        await session.close()
        opening.go.set()
        assert await reason_of(task) == "SESSION_CLOSED"
        assert await reason_of(session.open()) == "SESSION_CLOSED"
        await session.close()

    run(work())


def test_one_that_was_never_opened_may_be_closed(stand: Stand) -> None:
    async def work() -> None:
        session = stand.session()
        await session.close()
        assert await reason_of(session.run(None, FEED)) == "SESSION_CLOSED"

    run(work())
    assert stand.wire.said == []


def test_the_openers_deadline_and_progress_are_those_of_the_task(stand: Stand) -> None:
    told: list[tuple[int, int]] = []

    async def work() -> None:
        with eais.on_upload(lambda done, total: told.append((done, total))):
            await stand.session()
        stand.fakes.clock.now = 2000.0
        with eais.deadline(5.0, clock=stand.fakes.clock):
            stand.fakes.clock.now = 2010.0
            assert await reason_of(stand.session().open()) == "DEADLINE_EXCEEDED"

    run(work())
    assert told[-1][0] == told[-1][1] == MUL.stat().st_size


def test_calls_side_by_side_are_answered_from_another_thread(stand: Stand) -> None:
    async def work() -> None:
        async with stand.session() as session:
            await session.run(None, FEED)
            stand.wire.holding = True
            tasks = [
                asyncio.create_task(session.run(None, {"X": ONES * number})) for number in range(64)
            ]
            await until(lambda: len(stand.stream.sent) == 65)
            thread = threading.Thread(target=stand.stream.release_all)
            thread.start()
            answers = await asyncio.gather(*tasks)
            thread.join(WAIT_S)
            for number, answer in enumerate(answers):
                assert_same(answer, oracle(MUL).run(None, {"X": ONES * number}))
            assert session.stats().pool_calls == 65

    run(work())


def test_answers_of_one_turn_of_the_loop_come_from_that_loop(stand: Stand) -> None:
    async def work() -> None:
        async with stand.session() as session:
            await session.run(None, FEED)
            stand.wire.holding = True
            tasks = [asyncio.create_task(session.run(None, FEED)) for _ in range(8)]
            await until(lambda: len(stand.stream.sent) == 9)
            stand.stream.release_all()
            for answer in await asyncio.gather(*tasks):
                assert_same(answer, stand.expected)

    run(work())


def test_a_cancelled_task_leaves_its_call_and_the_worker_is_told(stand: Stand) -> None:
    async def work() -> None:
        async with stand.session() as session:
            await session.run(None, FEED)
            stand.wire.holding = True
            task = asyncio.create_task(session.run(None, FEED))
            await until(lambda: len(stand.stream.sent) == 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert stand.stream.cancelled == [stand.stream.sent[-1].call_id]
            stand.stream.release_all()  # too late: nobody is hurt
            assert stand.attachment().load().waiting == 0

    run(work())


def test_a_timeout_of_asyncios_ends_a_call(stand: Stand) -> None:
    async def work() -> None:
        async with stand.session() as session:
            await session.run(None, FEED)
            stand.wire.holding = True
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(session.run(None, FEED), 0.01)
            assert len(stand.stream.cancelled) == 1

    run(work())


def test_a_deadline_ends_a_call(stand: Stand) -> None:
    async def work() -> None:
        async with stand.session() as session:
            await session.run(None, FEED)
            stand.wire.holding = True
            with eais.deadline(5.0, clock=stand.fakes.clock):
                task = asyncio.create_task(session.run(None, FEED))
            await until(lambda: len(stand.stream.sent) == 2)
            assert 4_000_000 < stand.stream.sent[-1].timeout_us <= 5_000_000
            await asyncio.to_thread(stand.fakes.pass_time, 6.0)
            assert await reason_of(task) == "DEADLINE_EXCEEDED"
            assert len(stand.stream.cancelled) == 1

    run(work())


def test_terminate_ends_a_call(stand: Stand) -> None:
    async def work() -> None:
        async with stand.session() as session:
            await session.run(None, FEED)
            stand.wire.holding = True
            options = eais.RunOptions()
            options.logid = "mine"
            task = asyncio.create_task(session.run(None, FEED, options))
            await until(lambda: len(stand.stream.sent) == 2)
            assert stand.stream.sent[-1].options.tag == "mine"
            await asyncio.to_thread(setattr, options, "terminate", True)
            with pytest.raises(EaisError, match="terminate flag"):
                await task
            with pytest.raises(EaisError, match="terminate flag"):
                await session.run(None, FEED, options)

    run(work())


def test_a_call_whose_worker_died_is_sent_again(stand: Stand) -> None:
    async def work() -> None:
        async with stand.session() as session:
            await session.run(None, FEED)
            stand.wire.holding = True
            task = asyncio.create_task(session.run(None, FEED))
            await until(lambda: len(stand.stream.sent) == 2)
            stand.wire.holding = False
            await asyncio.to_thread(stand.stream.broke)
            await asyncio.to_thread(stand.fakes.pass_time, 1.0)
            assert_same(await task, stand.expected)
            assert session.last_call is not None
            assert session.last_call.attempts == 1  # of this task's own
            assert session.stats().totals.attempts == 3
            assert stand.stream.loops == [asyncio.get_running_loop()]

    run(work())
    assert len(stand.wire.streams) == 2


def test_a_worker_that_ends_for_good_ends_its_calls(stand: Stand) -> None:
    async def work() -> None:
        async with stand.session() as session:
            await session.run(None, FEED)
            stand.wire.holding = True
            task = asyncio.create_task(session.run(None, FEED))
            await until(lambda: len(stand.stream.sent) == 2)
            stand.wire.change("ei-1", state=InstanceState.BOUND)
            await asyncio.to_thread(stand.stream.broke)
            assert await reason_of(task) == "INSTANCE_STOPPED"

    run(work())


def test_a_loop_that_ended_with_calls_under_way_hurts_nobody(stand: Stand) -> None:
    session = stand.session()

    async def leave() -> None:
        await session.run(None, FEED)
        stand.wire.holding = True
        loop = asyncio.get_running_loop()
        loop.create_task(session.run(None, FEED)).add_done_callback(lambda _: None)
        await until(lambda: len(stand.stream.sent) == 2)

    run(leave())  # which cancels what is left
    assert len(stand.stream.cancelled) == 1
    loop = asyncio.new_event_loop()
    coroutine = session.run(None, FEED)
    left: list[Any] = []

    async def begin() -> None:
        left.append(loop.create_task(coroutine))
        await until(lambda: len(stand.stream.sent) == 3)

    loop.run_until_complete(begin())
    loop.close()  # nothing is cancelled
    stand.stream.release_all()
    stand.wire.holding = False
    assert_same(run(session.run(None, FEED)), stand.expected)
    coroutine.close()
    gc.collect()


def test_a_blocking_session_and_one_for_asyncio_share_a_stream(stand: Stand) -> None:
    blocking = eais.InferenceSession(MUL, frontend=stand.frontend)
    blocking.run(None, FEED)

    async def work() -> None:
        async with stand.session() as session:
            assert_same(await session.run(None, FEED), stand.expected)

    run(work())
    assert len(stand.wire.streams) == 1
    assert stand.stream.released == []  # the other still uses it
    blocking.close()
    assert len(stand.stream.released) == 1


def test_each_task_has_its_own_last_call(stand: Stand) -> None:
    async def work() -> None:
        async with stand.session() as session:
            assert session.last_call is None

            async def one(number: int) -> float:
                stand.wire.account.queue_ns = number
                await session.run(None, FEED)
                await asyncio.sleep(0)
                account = session.last_call
                assert account is not None
                return account.queue_s

            assert list(await asyncio.gather(one(10**9), one(2 * 10**9))) == [1.0, 2.0]
            assert session.last_call is None
            assert await one(3 * 10**9) == 3.0

    run(work())


def test_it_falls_back_on_this_process(stand: Stand) -> None:
    for what in ("list", "describe", "locate", "open"):
        stand.wire.fail_next(what, *[AWAY] * 100)

    async def work() -> None:
        async with stand.session(fallback="local") as session:
            assert session.fallback_active
            assert_same(await session.run(None, FEED), stand.expected)
            assert session.get_providers()[-1] == "EaisLocalFallback"
            account = session.last_call
            assert account is not None
            assert account.local
            assert session.stats().local_calls == 1
            with pytest.raises(ValueError, match="Required inputs"):
                await session.run(None, {})

    run(work())


def test_a_call_that_finds_the_pool_away_is_answered_here(stand: Stand) -> None:
    async def work() -> None:
        async with stand.session(fallback="local") as session:
            await session.run(None, FEED)
            assert not session.fallback_active
            stand.wire.fail_next("run", make_error("INPUT_SHAPE", "no"))
            assert await reason_of(session.run(None, FEED)) == "INPUT_SHAPE"
            stand.wire.fail_next("run", *[make_error("HOST_UNREACHABLE", "gone")] * 3)
            stand.fakes.jump()
            assert_same(await session.run(None, FEED), stand.expected)
            assert session.fallback_active

    run(work())
