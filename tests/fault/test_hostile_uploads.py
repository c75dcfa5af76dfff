"""Files of a model on their way: out of order, altered, in crumbs, and left behind."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest

from eais.errors import ModelRejected
from eais.identity import Identity
from eais.rpc import client, verbs
from eais.rpc.status import error_of_rpc
from eais.rpc.v1 import hosts_pb2, listener_pb2, pool_pb2
from tests.fault.open_calls import open_for_long, pushing
from tests.system.raw import refusal
from tests.system.stack import Stack, eventually
from tests.system.test_authz_matrix import listener_management

CHUNK = 64 << 10
DATA = bytes(range(256)) * 1024  # four chunks
NEXT = iter(range(1 << 30))


def another_file() -> bytes:
    """A file that no row has sent."""
    return DATA[:-8] + next(NEXT).to_bytes(8, "big")


Part = tuple[int, bytes]


def parts(data: bytes) -> list[Part]:
    return [(at, data[at : at + CHUNK]) for at in range(0, len(data), CHUNK)]


def chunks(at: pool_pb2.Instance, data: bytes, given: list[Part]) -> list[listener_pb2.PushChunk]:
    """The parts as chunks of a file that is named as `data`."""
    made = [listener_pb2.PushChunk(offset=offset, data=part) for offset, part in given]
    made[0].MergeFrom(
        listener_pb2.PushChunk(
            instance=at.id, epoch=at.epoch, sha256=sha256(data).digest(), size=len(data)
        )
    )
    return made


def push(stack: Stack, at: pool_pb2.Instance, data: bytes, given: list[Part]) -> None:
    with stack.dial(at.listener, stack.frontend()) as line:
        sent = chunks(at, data, given)
        client.upload(line, verbs.LISTENER_PUSH, sent, timeout_s=60, unreachable="X")


def gap(data: bytes) -> list[Part]:
    first, _, third, last = parts(data)
    return [first, third, last]


def overlap(data: bytes) -> list[Part]:
    first, *rest = parts(data)
    return [first, (CHUNK - 1, data[CHUNK - 1 : 2 * CHUNK]), *rest]


def reordered(data: bytes) -> list[Part]:
    first, second, *rest = parts(data)
    return [second, first, *rest]


def altered(data: bytes) -> list[Part]:
    (at, part), *rest = parts(data)
    return [(at, b"\xff" + part[1:]), *rest]


PIECES: dict[str, tuple[Callable[[bytes], list[Part]], str]] = {
    "gap": (gap, "CHUNK_GAP"),
    "overlap": (overlap, "CHUNK_OVERLAP"),
    "twice": (lambda data: [parts(data)[0]] * 2, "CHUNK_OVERLAP"),
    "reordered": (reordered, "CHUNK_GAP"),
    "from the middle": (lambda data: parts(data)[2:], "CHUNK_GAP"),
    "offset 2^64 - 1": (lambda data: [((1 << 64) - 1, b"x")], "CHUNK_GAP"),
    "no end": (lambda data: parts(data)[:-1], "CHUNK_GAP"),
    "altered": (altered, "DIGEST_MISMATCH"),
    "byte by byte": (
        lambda data: [(at, data[at : at + 1]) for at in range(len(data))],
        "QUOTA",
    ),
    "a chunk of 5 MiB": (lambda data: [(0, bytes(5 << 20))], "MALFORMED_MESSAGE"),
}


@pytest.mark.hostile("upload-pieces")
@pytest.mark.parametrize("case", PIECES)
def test_pieces_of_a_file_that_dont_fit(
    stack: Stack, instance: pool_pb2.Instance, case: str
) -> None:
    give, reason = PIECES[case]
    data = another_file()
    error = refusal(push, stack, instance, data, give(data))
    assert error.reason == reason
    missing = wanted(stack, instance, data)
    push(stack, instance, data, [p for p in parts(data) if p[0] >= missing] or [(missing, b"")])
    assert wanted(stack, instance, data) == len(data)


def wanted(stack: Stack, at: pool_pb2.Instance, data: bytes) -> int:
    """How much of the file the listener has."""
    file = listener_pb2.ModelFile(sha256=sha256(data).digest(), size=len(data))
    spec = listener_pb2.SessionSpec(files=[file])
    request = listener_pb2.OpenRequest(instance=at.id, epoch=at.epoch, spec=spec)
    with stack.dial(at.listener, stack.frontend()) as line:
        try:
            reply = client.call(line, verbs.LISTENER_OPEN, request, timeout_s=60, unreachable="X")
        except ModelRejected:  # all of it is there, and is no model
            return len(data)
    return int(reply.missing[0].offset)


def store_bytes(stack: Stack) -> int:
    """What the listener's store counts, as its operator sees it."""
    operator = stack.bundle(Identity.operator(stack.pool, "test"))
    with stack.dial(listener_management(stack), operator) as line:
        request = hosts_pb2.ListenerStatusRequest()
        reply = client.call(
            line, verbs.LISTENER_ADMIN_STATUS, request, timeout_s=30, unreachable="X"
        )
    return int(reply.store_bytes)


@pytest.mark.hostile("upload-abandoned")
@pytest.mark.parametrize("end", ["silent", "cut"])
def test_an_upload_that_nobody_goes_on_with(
    quiet_stack: Stack, stack: Stack, instance: pool_pb2.Instance, end: str
) -> None:
    """At its last chunk. `chunk_timeout_s` is 2 s here and 45 s by default, below a minute."""
    data = another_file()
    before = store_bytes(quiet_stack)
    with quiet_stack.dial(instance.listener, stack.frontend()) as line, open_for_long() as requests:
        call = pushing(line, requests(chunks(instance, data, parts(data)[:-1])))
        eventually(lambda: store_bytes(quiet_stack) > before or None, "it comes in")
        if end == "silent":
            assert error_of_rpc(call.exception(), "X").reason == "DEADLINE_EXCEEDED"
        else:
            call.cancel()
        eventually(lambda: store_bytes(quiet_stack) <= before or None, "its bytes go", 60)
    assert wanted(stack, instance, data) == 0
