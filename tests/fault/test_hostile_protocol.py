"""Messages that come in the wrong order, for the wrong lease, or in another version."""

from __future__ import annotations

import grpc
import pytest

from eais.rpc import client, verbs
from eais.rpc.hello import WIRE_VERSION
from eais.rpc.status import error_of_rpc
from eais.rpc.v1 import common_pb2, pool_pb2, worker_pb2
from tests.system.raw import refusal
from tests.system.stack import Stack

VERSIONS = {"older": 0, "newer": WIRE_VERSION + 1, "far": (1 << 32) - 1}


def greet(stack: Stack, at: pool_pb2.Instance, where: str, message: common_pb2.Hello) -> None:
    if where == "worker":
        with stack.dial(at.workers[0].endpoint, stack.frontend()) as line:
            first = worker_pb2.ToWorker(hello=message)
            replies = client.stream(line, verbs.WORKER_STREAM, [first])
            try:
                next(replies)
            except grpc.RpcError as error:
                raise error_of_rpc(error, "X") from None
        return
    endpoint, verb = {
        "manager": (stack.endpoint("user"), verbs.POOL_GREET),
        "listener": (at.listener, verbs.LISTENER_GREET),
    }[where]
    with stack.dial(endpoint, stack.frontend()) as line:
        client.call(line, verb, message, timeout_s=30, unreachable="X")


@pytest.mark.hostile("protocol-version")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("where", ["manager", "listener", "worker"])
def test_another_version(
    stack: Stack, instance: pool_pb2.Instance, where: str, version: str
) -> None:
    message = common_pb2.Hello(version=VERSIONS[version], software="eais-test/9")
    error = refusal(greet, stack, instance, where, message)
    assert error.reason == "VERSION_UNSUPPORTED"
    assert error.metadata == {"supported": str(WIRE_VERSION)}
    assert f"supported={WIRE_VERSION}" in error.message
