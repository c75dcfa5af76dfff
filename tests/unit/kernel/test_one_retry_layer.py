"""Nothing below the client library's calls sends anything twice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from eais import channel
from eais.errors import Unavailable
from eais.rpc import client
from eais.rpc.v1 import common_pb2, pool_pb2, worker_pb2
from eais.rpc.verbs import POOL_GREET, POOL_LIST, WORKER_STREAM


class Refuser:
    """Handles every method: answers UNAVAILABLE, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        streams = method == WORKER_STREAM.path
        made = grpc.stream_stream_rpc_method_handler if streams else None
        return (made or grpc.unary_unary_rpc_method_handler)(self._refuse)

    def _refuse(self, _request: object, context: grpc.ServicerContext) -> bytes:
        self.asked.append("once more")
        context.abort(grpc.StatusCode.UNAVAILABLE, "DRAINING: not now")
        raise AssertionError("abort raises")


@pytest.fixture
def refuser() -> Refuser:
    return Refuser()


@pytest.fixture
def line(refuser: Refuser) -> Iterator[grpc.Channel]:
    with ThreadPoolExecutor(4) as threads:
        handlers: Any = [refuser]
        server = grpc.server(threads, handlers=handlers, options=channel.server_options())
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        options = channel.client_options("manager.p.internal")
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as made:
            yield made
        server.stop(0).wait()


@pytest.mark.parametrize(
    ("verb", "request_"),
    [(POOL_GREET, common_pb2.Hello()), (POOL_LIST, pool_pb2.ListRequest())],
    ids=["Greet", "List"],
)
def test_a_unary_call_is_sent_once(
    line: grpc.Channel, refuser: Refuser, verb: Any, request_: Any
) -> None:
    with pytest.raises(Unavailable):
        client.call(line, verb, request_, timeout_s=20.0, unreachable="POOL_UNREACHABLE")
    assert len(refuser.asked) == 1


def test_a_stream_is_opened_once(line: grpc.Channel, refuser: Refuser) -> None:
    replies = client.stream(line, WORKER_STREAM, [worker_pb2.ToWorker()])
    with pytest.raises(grpc.RpcError):
        next(replies)
    assert len(refuser.asked) == 1
