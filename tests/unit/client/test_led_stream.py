"""A stream that its callers read in turns: who reads, who is woken, and what ends it."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eais.deadline import NEVER
from eais.errors import EaisError, make_error
from eais.identity import Identity
from eais.rpc.v1 import value_pb2, worker_pb2
from eais.transport.writing import EncodedRun, RunWriter
from eais.value import Deferred
from eais_client.h2_carrier import H2Carrier
from eais_client.instances import Address
from eais_client.led_stream import LedStream
from eais_client.loop_call import LoopCall
from eais_client.loop_reader import AT_ONCE
from eais_client.pending import PendingCall
from eais_client.wire import Incoming
from eais_pool.authority import Authority
from tests.unit.client.served import POOL, WAIT_S, Heard, Meanwhile, Rig, ScriptedWorker, now, rig

WORKER = Identity.worker(POOL, "ei-1", 1)
WRITER = RunWriter("ei-1", "s")


def until(true: Callable[[], bool]) -> None:
    """Wait for a condition, for as long as tests wait."""
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


class Calls:
    """`StreamEvents` that end the calls they know, as an attachment does."""

    def __init__(self) -> None:
        self.pending: dict[int, PendingCall] = {}
        self.by: list[int] = []
        self.opened_once = threading.Event()
        self.ended: list[EaisError] = []
        self.on_answer: Callable[[int], None] = lambda _call: None

    def opened(self, stream: int) -> None:
        self.opened_once.set()

    def answered(self, call: int, answer: Incoming) -> None:
        self.by.append(threading.get_ident())
        self.on_answer(call)
        pending = self.pending[call]
        pending.answer = answer
        pending.finish()

    def refused(self, stream: int, call: int, error: EaisError, push_back_s: float) -> None:
        self.pending[call].finish(error)

    def draining(self, stream: int) -> None:
        self.ended.append(make_error("DRAINING", "it drains"))

    def broken(self, stream: int, error: EaisError) -> None:
        self.ended.append(error)
        for pending in self.pending.values():
            if not pending.done:
                pending.finish(error)


class Stand:
    """A stream to a scripted worker, and calls on it."""

    def __init__(self, served: Rig) -> None:
        served.own = True
        self.rig = served
        self.worker = ScriptedWorker(served)
        self.address = served.serve(WORKER, self.worker.binding)
        self.calls = Calls()
        self.stream = self.to(self.address)
        self._numbers = iter(range(1, 1 << 30))

    def to(self, address: Address) -> LedStream:
        return LedStream(7, H2Carrier(address, self.rig.dialer().bundle()), self.calls)

    def open(self) -> Stand:
        self.stream.start()
        assert self.calls.opened_once.wait(WAIT_S)
        self.worker.next()
        return self

    def call(self, array: Any = None, *, watched: bool = True) -> tuple[int, PendingCall]:
        """Send a call; wait for it, or read, in whatever way."""
        body = WRITER.body([("x", np.ones(3) if array is None else array)], (), {}, "", Deferred())
        number, pending = next(self._numbers), PendingCall(body, NEVER)
        self.send(number, pending, watched=watched)
        return number, pending

    def send(self, number: int, pending: PendingCall, *, watched: bool = True) -> None:
        self.calls.pending[number] = pending
        pending.sent(1, self.stream)
        self.stream.send(pending.body.run(number, 1, 0), pending.body.deferred, watched)

    def answer(self, *calls: int) -> None:
        answers = [worker_pb2.Answer(call_id=call, outputs=[_value(call)]) for call in calls]
        self.worker.say(worker_pb2.ToClient(answers=answers))

    def waiting(self, pending: PendingCall) -> threading.Thread:
        """A thread that waits for it."""
        thread = threading.Thread(target=pending.wait, args=(WAIT_S,))
        thread.start()
        return thread

    def lead(self, pending: PendingCall) -> threading.Thread:
        """A thread that waits for it, and leads by now."""
        thread = self.waiting(pending)
        until(lambda: pending.rouse is not None)
        return thread

    def echoing(self) -> threading.Thread:
        """Answer each call with its number, until the stream has ended."""
        thread = threading.Thread(target=self._echo)
        thread.start()
        return thread

    def _echo(self) -> None:
        while numbers := [run.call_id for run in self.worker.next().runs]:
            self.answer(*numbers)


def _value(number: int) -> value_pb2.Value:
    raw = np.array([number], np.int64).tobytes()
    return value_pb2.Value(
        tensor=value_pb2.Tensor(type=value_pb2.ElementType.INT64, dims=[1], raw=raw)
    )


def _number(pending: PendingCall) -> int:
    assert pending.answer is not None, pending.error
    return int(pending.answer.values()[0][0])


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with rig(tmp_path) as served:
        made = Stand(served)
        yield made
        made.stream.close()


def test_who_leads_brings_the_others_answers_and_its_own(stand: Stand) -> None:
    stand.open()
    (one, first), (two, second) = stand.call(), stand.call()
    leader = stand.lead(first)
    follower = stand.waiting(second)
    stand.answer(two)
    follower.join(WAIT_S)
    stand.answer(one)
    leader.join(WAIT_S)
    assert (_number(first), _number(second)) == (one, two)
    assert stand.calls.by == [leader.ident, leader.ident]


def test_a_follower_leads_when_the_leader_has_its_answer(stand: Stand) -> None:
    stand.open()
    (one, first), (two, second) = stand.call(), stand.call()
    leader, follower = stand.lead(first), stand.waiting(second)
    until(lambda: second in stand.stream._followers)
    stand.answer(one)
    leader.join(WAIT_S)
    until(lambda: second.rouse is not None)
    stand.answer(two)
    follower.join(WAIT_S)
    assert stand.calls.by == [leader.ident, follower.ident]
    assert not stand.stream._followers


def test_a_leader_whose_time_is_up_hands_on(stand: Stand) -> None:
    stand.open()
    (_one, first), (two, second) = stand.call(), stand.call()
    leader = threading.Thread(target=first.wait, args=(0.3,))
    leader.start()
    until(lambda: first.rouse is not None)
    follower = stand.waiting(second)
    leader.join(WAIT_S)
    assert not first.done
    until(lambda: second.rouse is not None)
    stand.answer(two)
    follower.join(WAIT_S)
    assert _number(second) == two


def test_a_leader_whose_call_ends_elsewhere_comes_out(stand: Stand) -> None:
    stand.open()
    _one, first = stand.call()
    leader = stand.lead(first)
    first.finish(make_error("CANCELLED", "by another thread"))
    leader.join(WAIT_S)
    assert not leader.is_alive()


def test_a_call_that_went_to_another_stream_is_waited_for_there(stand: Stand) -> None:
    stand.open()
    _one, first = stand.call()
    leader = stand.lead(first)
    other = stand.to(stand.address)
    first.sent(2, other)  # not begun: there is nothing to read, so it sleeps there
    until(lambda: first._lock is not None)
    first.finish(None)
    leader.join(WAIT_S)
    assert not leader.is_alive()
    other.close()


def test_a_call_that_nobody_waits_for_is_read_by_the_stream(stand: Stand) -> None:
    stand.open()
    one, first = stand.call(watched=False)
    stand.answer(one)
    until(lambda: first.done)
    assert _number(first) == one
    assert stand.calls.by == [stand.stream._thread.ident]


def test_a_call_that_nobody_waits_for_is_read_after_the_leader_too(stand: Stand) -> None:
    stand.open()
    (one, first), (two, second) = stand.call(), stand.call(watched=False)
    leader = stand.lead(first)
    stand.answer(one)
    leader.join(WAIT_S)
    stand.answer(two)
    until(lambda: second.done)
    assert not stand.stream._exchange.unwatched


def test_many_threads_have_each_its_own_answer(stand: Stand) -> None:
    stand.open()
    echo = stand.echoing()
    wrong: list[tuple[int, int]] = []

    def work() -> None:
        for _ in range(50):
            number, pending = stand.call()
            assert pending.wait(WAIT_S)
            if _number(pending) != number:
                wrong.append((number, _number(pending)))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert not any(thread.is_alive() for thread in threads)
    assert len(stand.calls.by) == 16 * 50
    assert not wrong
    assert not stand.stream._followers
    assert not stand.stream._turn
    stand.stream.hold("the end")
    echo.join(WAIT_S)


def test_what_waits_while_nobody_can_send_goes_out_together(stand: Stand) -> None:
    stand.open()
    with stand.stream._lock:
        numbers = [stand.call()[0] for _ in range(5)]
    stand.stream.hold("s")
    message = stand.worker.next()
    assert [run.call_id for run in message.runs] == numbers
    assert list(message.hold) == ["s"]


@pytest.mark.parametrize("size", [3 << 20, 24 << 20])
def test_large_tensors_and_small_ones_share_a_stream(stand: Stand, size: int) -> None:
    stand.open()
    large = np.arange(size // 4, dtype=np.float32)
    number, _pending = stand.call(large, watched=False)
    small = [stand.call(watched=False)[0] for _ in range(3)]
    got, runs = bytearray(), list[int]()
    while len(got) < size or len(runs) < 4:
        message = stand.worker.next()
        runs += [run.call_id for run in message.runs]
        for piece in message.pieces:
            assert (piece.call_id, piece.offset) == (number, len(got))
            got += piece.data
    assert runs == [number, *small]
    assert got == large.tobytes()


def test_ctrl_c_in_the_midst_of_telling_ends_the_stream_for_all(stand: Stand) -> None:
    stand.open()
    (one, _first), (_two, second) = stand.call(), stand.call()

    def interrupt(_call: int) -> None:
        raise KeyboardInterrupt

    def answer_the_leader() -> None:
        until(lambda: second.rouse is not None)
        stand.answer(one)

    stand.calls.on_answer = interrupt
    threading.Thread(target=answer_the_leader).start()
    with pytest.raises(KeyboardInterrupt):
        second.wait(WAIT_S)
    until(lambda: bool(stand.calls.ended))
    (error,) = stand.calls.ended
    assert (error.reason, error.retryable) == ("WORKER_DIED", True)
    assert second.error is error


def test_ctrl_c_while_it_waits_ends_nothing(stand: Stand) -> None:
    stand.open()
    one, first = stand.call()

    class Interrupted:
        def wait(self, timeout_s: float = inf, *, write: bool = False) -> None:
            raise KeyboardInterrupt

        def kick(self) -> None: ...

    usual, stand.stream._lead_wait = stand.stream._lead_wait, Interrupted()
    with pytest.raises(KeyboardInterrupt):
        _wait_in_steps(first)
    stand.stream._lead_wait = usual
    stand.answer(one)
    assert first.wait(WAIT_S)
    assert not stand.calls.ended


def _wait_in_steps(pending: PendingCall) -> None:
    while not pending.done:  # the stream's own thread may have the turn for a moment
        pending.wait(0.1)


def test_a_close_gets_a_leader_and_followers_out(stand: Stand) -> None:
    stand.open()
    (_one, first), (_two, second) = stand.call(), stand.call()
    leader, follower = stand.lead(first), stand.waiting(second)
    stand.stream.close()
    assert not stand.stream._thread.is_alive()
    assert stand.calls.ended == []
    for pending in (first, second):
        pending.finish(make_error("SESSION_CLOSED", "as its attachment says"))
    leader.join(WAIT_S)
    follower.join(WAIT_S)
    assert not leader.is_alive()
    assert not follower.is_alive()


def test_a_close_in_the_midst_of_connecting_waits_for_nobody(stand: Stand) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        stream = stand.to(Address("127.0.0.1", port, stand.address.server_name))
        stream.start()
        connection, _from = silent.accept()
        stream.close()
        connection.close()
    assert not stream._thread.is_alive()
    assert stand.calls.ended == []


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], ids=["plain", "end"])
def test_who_doesnt_shake_hands_is_unreachable(stand: Stand, words: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        stream = stand.to(Address("127.0.0.1", port, stand.address.server_name))
        stream.start()
        connection, _from = other.accept()
        connection.sendall(words)
        connection.recv(1 << 16)
        connection.close()
        until(lambda: bool(stand.calls.ended))
        stream.close()
    assert [error.reason for error in stand.calls.ended] == ["HOST_UNREACHABLE"]


def test_a_worker_of_another_ca_is_not_spoken_to(stand: Stand, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other", POOL, now())
    address = stand.rig.serve_with(other.bundle(WORKER, now()), stand.worker.binding)
    stream = stand.to(address)
    stream.start()
    until(lambda: bool(stand.calls.ended))
    stream.close()
    assert [error.reason for error in stand.calls.ended] == ["SERVER_UNTRUSTED"]
    assert stand.worker.heard.empty()


def test_a_worker_that_freezes_is_given_up(stand: Stand) -> None:
    stand.open()
    _one, first = stand.call()
    thaw = threading.Event()
    stand.rig.loop.call_soon_threadsafe(thaw.wait, WAIT_S)
    try:
        first.wait(WAIT_S)
    finally:
        thaw.set()
    assert first.error is not None
    assert first.error.reason == "WORKER_DIED"
    assert "silent" in first.error.message


def test_a_silent_stream_stays(stand: Stand) -> None:
    stand.open()
    end = time.monotonic() + 1.2  # more than one ping
    until(lambda: time.monotonic() > end)
    one, first = stand.call()
    stand.answer(one)
    assert first.wait(WAIT_S)
    assert not stand.calls.ended


def test_streams_leave_no_descriptors(stand: Stand) -> None:
    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))

    stand.open()
    until(lambda: stand.rig.run(_nothing()) is None)
    before = opened()
    for _ in range(5):
        heard = Heard()
        stream = LedStream(8, H2Carrier(stand.address, stand.rig.dialer().bundle()), heard)
        stream.start()
        assert heard.next()[0] == "opened"
        stream.close()
    until(lambda: opened() <= before)


async def _nothing() -> None: ...


# In event loops.


def test_a_loop_reads_for_its_tasks_and_sends_what_they_send_at_once(stand: Stand) -> None:
    stand.open()

    async def tasks() -> list[int]:
        calls = [_in_loop(stand) for _ in range(5)]
        await asyncio.sleep(0)
        message = await asyncio.to_thread(stand.worker.next)
        assert [run.call_id for run in message.runs] == [number for number, _call in calls]
        stand.answer(*(number for number, _call in calls))
        for number, call in calls:
            await asyncio.wait_for(call.future, WAIT_S)
            assert _number(call) == number
        return stand.calls.by

    by = asyncio.run(tasks())
    own = stand.stream._thread.ident
    assert set(by) <= {threading.get_ident(), own}


def test_what_is_enough_for_the_worker_to_begin_with_goes_out_before_the_iteration_ends(
    stand: Stand,
) -> None:
    stand.open()

    async def tasks() -> None:
        calls = [_in_loop(stand) for _ in range(2 * AT_ONCE + 3)]
        came = 0  # In messages of up to AT_ONCE: another thread may have found the first of some.
        while came < 2 * AT_ONCE:  # the loop hasn't gone on
            came += len(stand.worker.next().runs)
        assert not stand.calls.by
        while came < len(calls):
            came += len((await asyncio.to_thread(stand.worker.next)).runs)
        stand.answer(*(number for number, _call in calls))
        for number, call in calls:
            await asyncio.wait_for(call.future, WAIT_S)
            assert _number(call) == number

    asyncio.run(tasks())


def _in_loop(stand: Stand) -> tuple[int, LoopCall]:
    body = WRITER.body([("x", np.ones(3))], (), {}, "", Deferred())
    call = LoopCall(body, NEVER, asyncio.get_running_loop())
    number = next(stand._numbers)
    stand.send(number, call)
    return number, call


async def _one_call(stand: Stand) -> None:
    number, call = _in_loop(stand)
    stand.answer(number)
    await asyncio.wait_for(call.future, WAIT_S)


def test_when_a_loop_has_ended_others_read_on(stand: Stand) -> None:
    stand.open()
    for _ in range(2):  # of two loops, one after the other
        asyncio.run(_one_call(stand))
    one, first = stand.call()
    stand.answer(one)
    assert first.wait(WAIT_S)
    two, second = stand.call(watched=False)
    stand.answer(two)
    until(lambda: second.done)


def test_a_call_that_blocks_a_loop_sends_what_its_tasks_said_before(stand: Stand) -> None:
    stand.open()

    async def both() -> None:
        first, call = _in_loop(stand)
        second, blocking = stand.call()
        stand.answer(second, first)
        assert blocking.wait(WAIT_S)
        await asyncio.wait_for(call.future, WAIT_S)

    asyncio.run(both())


def test_a_stream_that_ends_lets_go_of_a_loop(stand: Stand) -> None:
    stand.open()

    async def ends() -> None:
        _number, call = _in_loop(stand)
        await asyncio.to_thread(stand.worker.next)
        stand.worker.say(None)
        await asyncio.wait_for(call.future, WAIT_S)
        await asyncio.to_thread(stand.stream._thread.join, WAIT_S)
        await asyncio.sleep(0)
        assert stand.stream._loop is None
        assert not _descriptors_of(connection)

    connection = _connection(stand.stream)
    asyncio.run(ends())
    assert [error.reason for error in stand.calls.ended] == ["WORKER_DIED"]


def _connection(stream: LedStream) -> str:
    """What the kernel calls it."""
    return _target(stream._carrier.fileno())


def _descriptors_of(connection: str) -> int:
    """How many this process has, whoever holds them."""
    return [_target(int(fd)) for fd in os.listdir("/proc/self/fd")].count(connection)


def _target(fd: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    except OSError:
        return "closed meanwhile"


def test_loops_that_come_and_go_leave_no_descriptors(stand: Stand) -> None:
    stand.open()
    connection = _connection(stand.stream)
    for _ in range(20):
        asyncio.run(_one_call(stand))
    assert _descriptors_of(connection) == 2  # its own, and the last loop's


def test_loops_that_take_turns_all_let_go_of_a_stream_that_ends(stand: Stand) -> None:
    stand.open()
    connection = _connection(stand.stream)
    loops = [asyncio.new_event_loop() for _ in range(2)]
    for loop in loops * 2:
        loop.run_until_complete(_one_call(stand))
    stand.worker.say(None)
    stand.stream._thread.join(WAIT_S)
    for loop in loops:
        loop.run_until_complete(_nothing())
    assert not _descriptors_of(connection)
    for loop in loops:
        loop.close()


def test_a_loop_that_is_closed_while_it_stands_still_lets_go(stand: Stand) -> None:
    stand.open()
    connection = _connection(stand.stream)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(_one_call(stand))
    asyncio.run(_one_call(stand))
    loop.close()
    gc.collect()
    assert _descriptors_of(connection) == 2


def _with_meanwhile(stand: Stand) -> Meanwhile:
    stand.stream.close()
    carrier = Meanwhile(stand.address, stand.rig.dialer().bundle())
    stand.stream = LedStream(7, carrier, stand.calls)
    stand.open()
    return carrier


def test_a_stream_that_ends_while_a_loop_begins_to_read_it_is_let_go(stand: Stand) -> None:
    carrier = _with_meanwhile(stand)
    connection = _connection(stand.stream)
    kept: list[int] = []

    def end() -> None:
        kept.append(carrier._socket.detach())  # open until it has been copied
        stand.stream.close()

    async def begins() -> None:
        carrier.then = end
        stand.stream.read_in(asyncio.get_running_loop())
        assert stand.stream._loop is None
        await asyncio.sleep(0)
        assert _descriptors_of(connection) == len(kept) == 1

    asyncio.run(begins())
    os.close(kept[0])


def test_a_process_without_descriptors_calls_all_the_same(stand: Stand) -> None:
    carrier = _with_meanwhile(stand)

    def none_left() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def calls() -> None:
        carrier.then = none_left
        await _one_call(stand)
        assert stand.stream._loop is not None
        assert not stand.stream._loop.alive
        await _one_call(stand)
        assert stand.stream._loop.alive

    asyncio.run(calls())


def test_large_tensors_go_out_of_a_loop_as_there_is_room(stand: Stand) -> None:
    stand.open()
    size = 24 << 20

    async def large() -> None:
        body = WRITER.body([("x", np.zeros(size, np.uint8))], (), {}, "", Deferred())
        call = LoopCall(body, NEVER, asyncio.get_running_loop())
        number = next(stand._numbers)
        stand.send(number, call)
        await asyncio.to_thread(_take, stand, size)
        stand.answer(number)
        await asyncio.wait_for(call.future, WAIT_S)

    asyncio.run(large())


def _take(stand: Stand, size: int) -> None:
    got = 0
    while got < size:
        got += sum(len(piece.data) for piece in stand.worker.next().pieces)


def test_nothing_is_sent_on_a_stream_that_ended(stand: Stand) -> None:
    stand.open()
    stand.worker.say(None)
    until(lambda: bool(stand.calls.ended))
    stand.stream.send(EncodedRun(99, (b"",), 0), Deferred())
    assert not stand.stream._outbox.waiting
