"""Calls to a worker that are too large, no messages, none of its verbs, or not gone on with."""

from __future__ import annotations

import random
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from eais.channel import MAX_MESSAGE_BYTES
from eais.rpc import verbs
from eais.rpc.hello import hello
from eais.rpc.status import error_of_message, error_of_rpc
from eais.rpc.v1 import pool_pb2, value_pb2, worker_pb2
from eais.transport.h2 import codes
from eais.transport.h2 import frames as h2
from tests.fault.bystander import Bystander
from tests.fault.wire import WAIT_S, Wire
from tests.system.raw import open_session, refusal
from tests.system.stack import Stack, eventually, op
from tests.unit.server.runtime import models
from tests.unit.transport.h2 import stranger as raw

STREAM = verbs.WORKER_STREAM.path
GREETING = worker_pb2.ToWorker(hello=hello("eais-test")).SerializeToString()


@pytest.fixture
def channel(stack: Stack, instance: pool_pb2.Instance) -> Iterator[grpc.Channel]:
    """A stock client's channel to the worker."""
    with stack.dial(instance.workers[0].endpoint, stack.frontend()) as line:
        yield line


def as_they_are(data: bytes) -> bytes:
    return data


def failure(channel: grpc.Channel, *messages: bytes, path: str = STREAM, **how: Any) -> Any:
    """How a stock client's call ends."""
    replies = channel.stream_stream(path, as_they_are, as_they_are)(iter(messages), **how)
    with pytest.raises(grpc.RpcError) as caught:
        for _ in replies:
            pass
    return caught.value


@pytest.mark.hostile("message-too-large")
@pytest.mark.parametrize("size", [MAX_MESSAGE_BYTES + 1, (1 << 32) - 1])
def test_a_message_above_the_cap(wire: Wire, size: int) -> None:
    wire.greet().open(1, STREAM)
    wire.say(raw.message(1, GREETING), raw.data(1, b"\0" + raw.number(size) + bytes(10_000)))
    ending = wire.ending(1)
    assert ending.status == codes.RESOURCE_EXHAUSTED
    assert ending.text == f"Received message larger than max ({size} vs. {MAX_MESSAGE_BYTES})"


@pytest.mark.hostile("message-compressed")
@pytest.mark.parametrize("by", ["gzip", "deflate", "flag alone"])
def test_a_compressed_message(wire: Wire, by: str) -> None:
    wire.greet().open(1, STREAM, *([] if by == "flag alone" else [("grpc-encoding", by)]))
    wire.say(raw.message(1, b"\x1f\x8b\x08" + bytes(1_000), flag=1))
    ending = wire.ending(1)
    assert ending.status == codes.UNIMPLEMENTED
    assert "identity" in ending.text


@pytest.mark.hostile("metadata-too-large")
@pytest.mark.parametrize("size", [12_000, 20_000])
@pytest.mark.parametrize("peer", ["stock", "raw"])
def test_metadata_above_the_limit(wire: Wire, channel: grpc.Channel, peer: str, size: int) -> None:
    if peer == "stock":
        error = failure(channel, GREETING, metadata=(("x", "y" * size),))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        return
    wire.greet().open(1, STREAM, ("x", "y" * size), end=True)
    assert wire.ending(1).status == codes.RESOURCE_EXHAUSTED


UNKNOWN_VERBS = {
    "/eais.rpc.v1.Worker/Delete": ("grpc", 12),
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": ("grpc", 12),
    "/eais.rpc.v1.Pool/Attach": ("grpc", 12),
    "/../etc/passwd": ("grpc", 12),
    "": ("grpc", 12),
}


@pytest.mark.hostile("verb-unknown")
@pytest.mark.parametrize("path", ["get", "html", *UNKNOWN_VERBS])
def test_a_verb_that_isnt_served(wire: Wire, path: str) -> None:
    wire.greet()
    if path in ("get", "html"):
        name, value, http = {
            "get": (":method", "GET", "405"),
            "html": ("content-type", "text/html", "415"),
        }[path]
        headers = [(key, value if key == name else old) for key, old in raw.REQUEST]
        wire.say(raw.block(1, wire.encoder.encode(headers), end=True))
        assert wire.ending(1).http == http
        return
    wire.open(1, path or "/", end=True)
    assert wire.ending(1).status == codes.UNIMPLEMENTED


@pytest.mark.hostile("message-garbage")
@pytest.mark.parametrize("size", [1, 100, 10_000])
@pytest.mark.parametrize("greeted", [True, False])
def test_bytes_that_are_no_message(channel: grpc.Channel, greeted: bool, size: int) -> None:
    noise = b"\xff" + random.Random(size).randbytes(size)
    error = failure(channel, *([GREETING] if greeted else []), noise)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_of_rpc(error, "X").reason == "MALFORMED_MESSAGE"


@pytest.mark.hostile("deadline-odd")
@pytest.mark.parametrize(
    ("given", "status"),
    [("0n", 4), ("0H", 4), ("1n", 4), ("-1S", 3), ("123456789S", 3), ("5", 3), ("soon", 3)],
)
def test_a_deadline_that_is_past_or_none(wire: Wire, given: str, status: int) -> None:
    wire.greet().open(1, STREAM, ("grpc-timeout", given))
    assert wire.ending(1).status == status
    # As if there were none: who is still served then has no end of their own.
    wire.open(3, STREAM, ("grpc-timeout", "99999999H"))
    wire.say(raw.message(3, GREETING))
    next(frame for frame in wire.hear() if frame.kind == h2.DATA and frame.stream == 3)


@pytest.mark.hostile("call-id-again")
@pytest.mark.parametrize("together", [True, False])
def test_an_id_that_is_still_in_flight(
    stack: Stack, instance: pool_pb2.Instance, channel: grpc.Channel, together: bool
) -> None:
    session = open_session(stack, instance, models.endless(), {}).id
    run = worker_pb2.Run(
        call_id=7, instance=instance.id, epoch=instance.epoch, session=session, timeout_us=500_000
    )
    run.inputs.add(name="x").value.tensor.type = value_pb2.FLOAT
    run.inputs[0].value.tensor.dims.append(2)
    run.inputs[0].value.tensor.raw = bytes(8)
    runs = [[run, run]] if together else [[run], [run]]
    messages = [worker_pb2.ToWorker(hold=[session]), *(worker_pb2.ToWorker(runs=r) for r in runs)]
    stub = channel.stream_stream(STREAM, as_they_are, worker_pb2.ToClient.FromString)
    replies = stub(iter([GREETING, *(m.SerializeToString() for m in messages)]))
    answers = [answer for reply in replies for answer in reply.answers]
    reasons = {error_of_message(answer.error).reason for answer in answers}
    assert "DUPLICATE_ID" in reasons


@pytest.mark.hostile("op-id-again")
@pytest.mark.parametrize("changes", ["type", "no_start"])
def test_an_op_id_that_was_used(stack: Stack, changes: str) -> None:
    first = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = stack.ask(verbs.POOL_ATTACH, first).instance
    try:
        assert stack.ask(verbs.POOL_ATTACH, first).instance.id == made.id
        changed = pool_pb2.AttachRequest(
            op_id=first.op_id,
            type="cpu.2" if changes == "type" else "cpu.1",
            no_start=changes == "no_start",
        )
        assert refusal(stack.ask, verbs.POOL_ATTACH, changed).reason == "IDEMPOTENCY_MISMATCH"
    finally:
        stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))


@pytest.mark.hostile("stream-silent")
@pytest.mark.parametrize("sends", [b"", b"\0", b"\0\0\0\0\x09x"])
def test_a_stream_without_a_first_message(wire: Wire, sends: bytes) -> None:
    wire.greet().open(1, STREAM)
    if sends:
        wire.say(raw.data(1, sends))
    ending = wire.ending(1)
    assert ending.status == codes.DEADLINE_EXCEEDED
    assert ending.error is not None
    assert ending.error.reason == "FIRST_MESSAGE_TIMEOUT"


@pytest.mark.hostile("answers-unread")
@pytest.mark.parametrize("reads", [True, False])
def test_a_client_that_takes_no_answers(
    stack: Stack, instance: pool_pb2.Instance, wire: Wire, bystander: Bystander, reads: bool
) -> None:
    session = open_session(stack, instance, models.dataset("mul_1"), {}).id
    wire.greet().open(1, STREAM)
    wire.say(raw.message(1, GREETING))
    wire.say(raw.message(1, worker_pb2.ToWorker(hold=[session]).SerializeToString()))
    run = worker_pb2.Run(instance=instance.id, epoch=instance.epoch, session=session)
    for number in range(1, 4_000):
        # Refusals are answers as well, and cost the worker least.
        run.call_id = number
        body = worker_pb2.ToWorker(runs=[run]).SerializeToString()
        if not wire.say(raw.message(1, body)):
            break
    bystander.check()
    if not reads:
        over = select.poll()
        over.register(wire.socket, select.POLLRDHUP)
        assert over.poll(WAIT_S * 1_000), "it was waited for"
    else:
        ending = wire.ending(1)
        assert ending.status == codes.RESOURCE_EXHAUSTED
        assert ending.error is not None
        assert ending.error.reason == "SLOW_CONSUMER"
        assert len(wire.messages(1)) <= h2.FIRST_WINDOW


SILENT = {
    "nothing": (False, b""),
    "one byte": (False, b"\x16"),
    "half a hello": (False, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "no preface": (True, b""),
    "half a preface": (True, h2.PREFACE[:10]),
    "no settings": (True, h2.PREFACE),
}


@pytest.mark.hostile("handshake-slow")
@pytest.mark.parametrize("case", [*SILENT, "byte by byte"])
def test_who_doesnt_come_to_business(stack: Stack, instance: pool_pb2.Instance, case: str) -> None:
    at = instance.workers[0].endpoint
    if case == "byte by byte":
        with socket.create_connection((at.address, at.port), WAIT_S) as slow:
            drip(slow, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500))
        return
    shakes, sends = SILENT[case]
    if shakes:
        with Wire(at, stack.frontend()) as wire:
            wire.say(sends)
            assert list(wire.hear()) is not None
            assert wire.ended
        return
    with socket.create_connection((at.address, at.port), WAIT_S) as silent:
        silent.sendall(sends)
        assert silent.recv(1) == b""


def drip(slow: socket.socket, data: bytes) -> None:
    """Send a byte a quarter of a second, until the other side has had enough."""
    for number in range(len(data)):
        try:
            slow.sendall(data[number : number + 1])
        except OSError:
            return
        if select.select([slow], [], [], 0.25)[0]:
            assert slow.recv(1) == b""
            return
    raise AssertionError("it was listened to for two minutes")


@pytest.mark.hostile("half-open")
def test_connections_that_only_take_room(
    stack: Stack, instance: pool_pb2.Instance, bystander: Bystander
) -> None:
    at = instance.workers[0].endpoint
    with ExitStack() as many:
        held = [
            many.enter_context(socket.create_connection((at.address, at.port), WAIT_S))
            for _ in range(400)
        ]
        bystander.check()
        with Wire(at, stack.frontend()) as wire:
            wire.greet().open(1, STREAM)
            wire.say(raw.message(1, GREETING))
            next(frame for frame in wire.hear() if frame.kind == h2.DATA)
        for one in held:
            assert one.recv(1) == b""


PLAIN = {
    "http1": b"GET / HTTP/1.1\r\nHost: eais\r\n\r\n",
    "http2": h2.PREFACE + raw.settings(),
    "nul": bytes(100),
    "ssh": b"SSH-2.0-OpenSSH_9.9\r\n",
}


@pytest.mark.hostile("plaintext")
@pytest.mark.parametrize("case", [*PLAIN, "http1 in tls"])
def test_who_speaks_something_else(stack: Stack, instance: pool_pb2.Instance, case: str) -> None:
    at = instance.workers[0].endpoint
    if case == "http1 in tls":
        with Wire(at, stack.frontend()) as wire:
            wire.say(PLAIN["http1"])
            assert wire.goaway()[0] == h2.PROTOCOL_ERROR
        return
    before = logged(stack, "PLAINTEXT_ON_TLS")

    def said() -> bool | None:
        """Of all that anybody can bring about, the log has one line a second."""
        with socket.create_connection((at.address, at.port), WAIT_S) as plain:
            plain.sendall(PLAIN[case])
            assert not heard(plain)
        return logged(stack, "PLAINTEXT_ON_TLS") > before or None

    eventually(said, "the log says so")


def heard(plain: socket.socket) -> bytes:
    """What the other side says before it ends the connection."""
    try:
        return plain.recv(1000)
    except ConnectionError:
        return b""


def logged(stack: Stack, word: str) -> int:
    """How often the pool's logs have `word`."""
    return sum(file.read_text().count(word) for file in stack.state.glob("*.log"))
