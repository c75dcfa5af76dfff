from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from eais.rpc.v1.supervision_pb2 import (
    Adopt,
    Drain,
    FromWorkerProcess,
    Heartbeat,
    Load,
    Spare,
    ToWorkerProcess,
)
from eais_server.control import (
    MAX_FRAME_BYTES,
    MAX_UNSENT_BYTES,
    AsyncControl,
    ControlBroken,
    ControlSocket,
    Frames,
    to_frame,
)

SPARE = FromWorkerProcess(spare=Spare(isolation=2))
BEAT = FromWorkerProcess(heartbeat=Heartbeat(requests=7))
DRAIN = ToWorkerProcess(drain=Drain(grace_ms=5))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


Pair = tuple[socket.socket, socket.socket]


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(1, 9)))
def test_messages_survive_any_cut(messages: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(struct.pack("<I", len(data)) + data for data in messages)
    frames, found = Frames(), []
    for cut in cuts:
        found += frames.feed(stream[:cut])
        stream = stream[cut:]
    found += frames.feed(stream)
    frames.finish()
    assert found == messages


def test_a_length_above_the_limit_is_refused_before_the_message_comes() -> None:
    frames = Frames()
    assert frames.feed(struct.pack("<I", MAX_FRAME_BYTES)) == []
    with pytest.raises(ControlBroken, match="16777217"):
        Frames().feed(struct.pack("<I", MAX_FRAME_BYTES + 1))


@pytest.mark.parametrize("rest", [b"\1", b"\1\0\0\0", b"\2\0\0\0x"])
def test_an_end_amid_a_message_is_broken(rest: bytes) -> None:
    frames = Frames()
    frames.feed(rest)
    with pytest.raises(ControlBroken):
        frames.finish()


def test_what_is_too_large_is_not_sent() -> None:
    with pytest.raises(ValueError, match="limit"):
        to_frame(ToWorkerProcess(load=Load(session="x" * MAX_FRAME_BYTES)))


def test_the_worker_receives_in_order_and_then_the_end(pair: Pair) -> None:
    near, far = pair
    adopt = ToWorkerProcess(adopt=Adopt(instance="ei-1"))
    near.sendall(to_frame(adopt) + to_frame(DRAIN))
    near.close()
    control = ControlSocket(far)
    assert [control.receive(), control.receive(), control.receive()] == [adopt, DRAIN, None]
    assert control.receive() is None


def test_a_worker_that_closes_ends_its_own_receiving(pair: Pair) -> None:
    control = ControlSocket(pair[1])
    got: list[ToWorkerProcess | None] = []
    thread = threading.Thread(target=lambda: got.append(control.receive()))
    thread.start()
    control.close()
    thread.join(10)
    assert got == [None]


def test_messages_of_many_threads_do_not_mix(pair: Pair) -> None:
    control = ControlSocket(pair[1])
    big = FromWorkerProcess(heartbeat=Heartbeat(requests=1))

    def send() -> None:
        for _ in range(200):
            control.send(big)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    frames, found = Frames(), 0
    while found < 800:
        found += len(frames.feed(pair[0].recv(1000)))
    for thread in threads:
        thread.join()
    frames.finish()


@pytest.mark.parametrize("data", [b"\1\0\0\0\xff", b"\0\0\0\0", b"\2\0\0\0\xf8\x07"])
def test_garbage_from_the_listener_is_broken(pair: Pair, data: bytes) -> None:
    pair[0].sendall(data)
    with pytest.raises(ControlBroken):
        ControlSocket(pair[1]).receive()


Over = Callable[[Callable[[AsyncControl], Awaitable[None]]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def over(request: pytest.FixtureRequest, pair: Pair) -> Over:
    """Runs a test's coroutine with the listener's end, on either event loop."""

    def run(act: Callable[[AsyncControl], Awaitable[None]]) -> None:
        async def main() -> None:
            control = await AsyncControl.open(pair[0])
            try:
                await asyncio.wait_for(act(control), 20)
            finally:
                control.close()
                assert await control.receive() is None

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main())

    return run


def test_the_listener_receives_in_order_and_then_the_end(over: Over, pair: Pair) -> None:
    async def act(control: AsyncControl) -> None:
        worker = ControlSocket(pair[1])
        worker.send(SPARE)
        worker.send(BEAT)
        worker.close()
        assert [await control.receive() for _ in range(3)] == [SPARE, BEAT, None]

    over(act)


def test_the_end_is_known_before_what_was_said_is_read(over: Over, pair: Pair) -> None:
    async def act(control: AsyncControl) -> None:
        pair[1].sendall(to_frame(SPARE))
        assert not control.has_ended()
        pair[1].close()
        assert control.has_ended()
        assert await control.receive() == SPARE
        assert await control.receive() is None
        assert control.has_ended()
        control.close()
        assert control.has_ended()

    over(act)


def test_the_listener_sends(over: Over, pair: Pair) -> None:
    async def act(control: AsyncControl) -> None:
        control.send(DRAIN)
        control.send(DRAIN)
        worker = ControlSocket(pair[1])
        got = await asyncio.to_thread(lambda: [worker.receive(), worker.receive()])
        assert got == [DRAIN, DRAIN]

    over(act)


@pytest.mark.parametrize(
    "data",
    [
        b"\1\0\0\0\xff",
        b"\0\0\0\0",
        struct.pack("<I", MAX_FRAME_BYTES + 1),
        b"\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_garbage_from_a_worker_is_broken(over: Over, pair: Pair, data: bytes) -> None:
    async def act(control: AsyncControl) -> None:
        pair[1].sendall(data)
        pair[1].close()
        with pytest.raises(ControlBroken):
            await control.receive()

    over(act)


def test_a_worker_that_dies_amid_a_message_is_broken(over: Over, pair: Pair) -> None:
    async def act(control: AsyncControl) -> None:
        pair[1].sendall(to_frame(SPARE)[:-1])
        pair[1].close()
        with pytest.raises(ControlBroken):
            await control.receive()

    over(act)


def test_a_worker_that_dies_with_messages_unread_just_ended(over: Over, pair: Pair) -> None:
    async def act(control: AsyncControl) -> None:
        control.send(DRAIN)
        pair[1].close()
        assert await control.receive() is None

    over(act)


def test_a_worker_that_does_not_read_costs_bounded_memory(over: Over, pair: Pair) -> None:
    load = ToWorkerProcess(load=Load(session="x" * (7 << 20)))

    async def act(control: AsyncControl) -> None:
        for _ in range(MAX_UNSENT_BYTES // load.ByteSize()):
            control.send(load)
        with pytest.raises(ControlBroken, match="doesn't read"):
            control.send(load)

    over(act)


def test_sending_to_a_worker_that_is_gone_is_broken(over: Over, pair: Pair) -> None:
    async def act(control: AsyncControl) -> None:
        control.close()
        with pytest.raises(ControlBroken, match="gone"):
            control.send(DRAIN)

    over(act)


def test_a_flood_waits_in_the_socket(over: Over, pair: Pair) -> None:
    frame, count = to_frame(BEAT), 100_000

    async def act(control: AsyncControl) -> None:
        pair[1].setblocking(False)
        loop = asyncio.get_running_loop()
        flood = loop.create_task(loop.sock_sendall(pair[1], frame * count))
        for _ in range(1000):
            assert await control.receive() == BEAT
        assert not flood.done()
        for _ in range(count - 1000):
            await control.receive()
        await flood

    over(act)
