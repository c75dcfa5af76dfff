"""Calls to a real pool as a client would make them that isn't ours, and doesn't check first."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from eais.errors import EaisError
from eais.rpc import client, verbs
from eais.rpc.hello import hello
from eais.rpc.status import error_of_message
from eais.rpc.v1 import listener_pb2, pool_pb2, value_pb2, worker_pb2
from tests.system.stack import Stack

CHUNK = 1 << 20


def spec_of(
    model: bytes, files: Mapping[str, bytes], *, from_path: bool = False, **options: Any
) -> listener_pb2.SessionSpec:
    """The spec of a model and its external data, by location."""
    return listener_pb2.SessionSpec(
        files=[
            listener_pb2.ModelFile(location=at, sha256=sha256(data).digest(), size=len(data))
            for at, data in {"": model, **files}.items()
        ],
        options=listener_pb2.SessionOptions(**options),
        from_path=from_path,
    )


def open_session(
    stack: Stack, at: pool_pb2.Instance, model: bytes, files: Mapping[str, bytes], **spec: Any
) -> listener_pb2.OpenedSession:
    """Open, pushing what the listener lacks; raises EaisError."""
    wanted = spec_of(model, files, **spec)
    request = listener_pb2.OpenRequest(instance=at.id, epoch=at.epoch, spec=wanted)
    with stack.dial(at.listener, stack.frontend()) as line:
        reply = client.call(line, verbs.LISTENER_OPEN, request, timeout_s=60, unreachable="X")
        if reply.missing:
            by_digest = {sha256(data).digest(): data for data in (model, *files.values())}
            for missing in reply.missing:
                push(line, at, by_digest[missing.sha256], missing.offset)
            reply = client.call(line, verbs.LISTENER_OPEN, request, timeout_s=60, unreachable="X")
    return reply.session


def push(line: Any, at: pool_pb2.Instance, data: bytes, start: int) -> None:
    """Send one file, from where the listener's copy of it ends."""
    first = listener_pb2.PushChunk(
        instance=at.id, epoch=at.epoch, sha256=sha256(data).digest(), size=len(data)
    )
    chunks = [
        listener_pb2.PushChunk(offset=offset, data=data[offset : offset + CHUNK])
        for offset in range(start, len(data), CHUNK)
    ] or [listener_pb2.PushChunk(offset=start)]
    chunks[0].MergeFrom(first)
    client.upload(line, verbs.LISTENER_PUSH, chunks, timeout_s=60, unreachable="X")


def run_once(
    stack: Stack,
    at: pool_pb2.Instance,
    session: str,
    inputs: list[value_pb2.NamedValue],
    **fields: Any,
) -> worker_pb2.Answer:
    """The answer to one run on a stream of its own; raises EaisError when it is an error."""
    run = worker_pb2.Run(
        call_id=1, instance=at.id, epoch=at.epoch, session=session, inputs=inputs, **fields
    )
    messages = [
        worker_pb2.ToWorker(hello=hello("eais-test")),
        worker_pb2.ToWorker(hold=[session], runs=[run]),
    ]
    with stack.dial(at.workers[0].endpoint, stack.frontend()) as line:
        replies = client.stream(line, verbs.WORKER_STREAM, messages)
        assert next(replies).HasField("hello")
        answer: worker_pb2.Answer = next(replies).answers[0]
    if answer.HasField("error"):
        raise error_of_message(answer.error)
    return answer


def refusal(work: Any, *args: Any, **kwargs: Any) -> EaisError:
    """What EaisError a call raises; AssertionError if it doesn't."""
    try:
        work(*args, **kwargs)
    except EaisError as error:
        return error
    raise AssertionError("it was not refused")
