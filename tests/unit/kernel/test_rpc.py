"""The choke point: who may call, what is parsed, what leaves. Real mTLS on loopback."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from eais import channel, tls
from eais.credentials import client_credentials, server_credentials
from eais.errors import Detached, EaisError, UsageError
from eais.identity import Identity
from eais.rpc import client, server, verbs
from eais.rpc.hello import WIRE_VERSION, hello
from eais.rpc.v1 import common_pb2, pool_pb2
from eais_pool.authority import Authority

POOL = "test-0001"


@dataclass
class Wire:
    """A served set of bindings, and channels to it by any identity of any pool."""

    authority: Authority
    port: int

    def channel(self, identity: Identity, authority: Authority | None = None) -> grpc.aio.Channel:
        now = datetime.datetime.now(datetime.UTC)
        bundle = (authority or self.authority).bundle(identity, now)
        bundle = tls.Bundle(
            bundle.key_pem,
            bundle.leaf_pem,
            self.authority.ca_pem,
            bundle.identity,
            bundle.not_before,
            bundle.not_after,
            bundle.renew_after,
        )
        return grpc.aio.secure_channel(
            f"127.0.0.1:{self.port}",
            client_credentials(bundle),
            channel.client_options(f"manager.{POOL}.internal"),
        )


async def greet_fails(request: pool_pb2.ListRequest, caller: server.Caller) -> pool_pb2.ListReply:
    raise ZeroDivisionError("/secret/path")


async def create_names_the_caller(
    request: pool_pb2.CreateRequest, caller: server.Caller
) -> pool_pb2.InstanceReply:
    if request.type == "refuse":
        raise UsageError("TYPE_UNKNOWN", "no such type", hint="try cpu", metadata={"type": "x"})
    return pool_pb2.InstanceReply(instance=pool_pb2.Instance(tenant=caller.identity.tenant or ""))


async def echo_hellos(
    requests: AsyncIterator[pool_pb2.WatchUp], caller: server.Caller
) -> AsyncIterator[pool_pb2.WatchDown]:
    async for request in requests:
        yield pool_pb2.WatchDown(hello=common_pb2.HelloReply(version=request.hello.version))


BINDINGS = [
    server.greet(verbs.POOL_GREET, "eais-test"),
    server.unary(verbs.POOL_LIST, greet_fails),
    server.unary(verbs.POOL_CREATE, create_names_the_caller),
    server.stream(verbs.POOL_WATCH, echo_hellos),
]
OWNER = Identity.frontend(POOL, "blue", "f1")


def over_the_wire(tmp_path: Path, body: Callable[[Wire], Awaitable[Any]]) -> Any:
    """Serve `BINDINGS`, run `body`, stop."""

    async def main() -> Any:
        now = datetime.datetime.now(datetime.UTC)
        authority = Authority.create(tmp_path / "ca", POOL, now)
        own = authority.bundle(Identity.manager(POOL), now)
        served = grpc.aio.server(options=channel.server_options())
        served.add_generic_rpc_handlers(server.generic_handlers(POOL, BINDINGS))
        port = served.add_secure_port("127.0.0.1:0", server_credentials(lambda: own))
        await served.start()
        try:
            return await body(Wire(authority, port))
        finally:
            await served.stop(None)

    return asyncio.run(main())


async def call(wire: Wire, verb: Any, request: Any, identity: Identity = OWNER) -> Any:
    async with wire.channel(identity) as made:
        return await client.acall(made, verb, request, timeout_s=10, unreachable="POOL_UNREACHABLE")


def refusal(tmp_path: Path, body: Callable[[Wire], Awaitable[Any]]) -> EaisError:
    with pytest.raises(EaisError) as caught:
        over_the_wire(tmp_path, body)
    return caught.value


def test_the_caller_is_who_the_certificate_says(tmp_path: Path) -> None:
    request = pool_pb2.CreateRequest(type="cpu")
    reply = over_the_wire(tmp_path, lambda wire: call(wire, verbs.POOL_CREATE, request))
    assert reply.instance.tenant == "blue"


def test_an_error_arrives_whole(tmp_path: Path) -> None:
    request = pool_pb2.CreateRequest(type="refuse")
    error = refusal(tmp_path, lambda wire: call(wire, verbs.POOL_CREATE, request))
    assert isinstance(error, UsageError)
    assert (error.reason, error.message, error.hint) == ("TYPE_UNKNOWN", "no such type", "try cpu")
    assert error.metadata == {"type": "x"}


def test_an_uncaught_exception_keeps_its_text_to_itself(tmp_path: Path) -> None:
    error = refusal(tmp_path, lambda wire: call(wire, verbs.POOL_LIST, pool_pb2.ListRequest()))
    assert error.reason == "BUG"
    assert "secret" not in str(error)
    assert "Zero" not in str(error)


@pytest.mark.parametrize(
    "identity",
    [Identity.listener(POOL, "h1"), Identity.operator(POOL, "o1"), Identity.manager(POOL)],
    ids=lambda identity: identity.role.value,
)
def test_other_roles_are_refused(tmp_path: Path, identity: Identity) -> None:
    hi = hello("eais-test")
    error = refusal(tmp_path, lambda wire: call(wire, verbs.POOL_GREET, hi, identity))
    assert error.reason == "PERMISSION_DENIED"


def test_a_frontend_of_another_pool_is_refused(tmp_path: Path) -> None:
    other = Identity.frontend("other-0001", "blue", "f1")

    async def body(wire: Wire) -> Any:
        now = datetime.datetime.now(datetime.UTC)
        theirs = Authority.create(tmp_path / "other", "other-0001", now)
        async with wire.channel(other, theirs) as made:
            return await client.acall(
                made,
                verbs.POOL_GREET,
                hello("eais-test"),
                timeout_s=10,
                unreachable="POOL_UNREACHABLE",
            )

    assert refusal(tmp_path, body).reason == "POOL_UNREACHABLE"


@pytest.mark.parametrize("version", [0, WIRE_VERSION + 1])
def test_another_version_is_told_which_are_served(tmp_path: Path, version: int) -> None:
    request = common_pb2.Hello(version=version)
    error = refusal(tmp_path, lambda wire: call(wire, verbs.POOL_GREET, request))
    assert error.reason == "VERSION_UNSUPPORTED"
    assert error.metadata["supported"] == str(WIRE_VERSION)


def test_bytes_that_are_no_message(tmp_path: Path) -> None:
    async def body(wire: Wire) -> Any:
        async with wire.channel(OWNER) as made:
            stub = made.unary_unary(verbs.POOL_CREATE.path, bytes, bytes)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub(b"\xff\xff\xff", timeout=10)
            return caught.value

    error = over_the_wire(tmp_path, body)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith("MALFORMED_MESSAGE: ")


def test_a_verb_that_nobody_bound(tmp_path: Path) -> None:
    request = pool_pb2.InstanceRequest(instance="ei-1")
    error = refusal(tmp_path, lambda wire: call(wire, verbs.POOL_STOP, request))
    assert error.reason == "UNIMPLEMENTED"


def test_streams_go_both_ways(tmp_path: Path) -> None:
    async def ups() -> AsyncIterator[pool_pb2.WatchUp]:
        for version in (3, 5):
            yield pool_pb2.WatchUp(hello=common_pb2.Hello(version=version))

    async def body(wire: Wire) -> list[int]:
        async with wire.channel(OWNER) as made:
            downs = client.astream(made, verbs.POOL_WATCH, ups())
            return [down.hello.version async for down in downs]

    assert over_the_wire(tmp_path, body) == [3, 5]


def test_a_handler_of_the_wrong_shape_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="stream both ways"):
        server.unary(verbs.POOL_WATCH, greet_fails)  # type: ignore[arg-type]


def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    async def body(wire: Wire) -> Any:
        return await call(Wire(wire.authority, 1), verbs.POOL_GREET, hello("eais-test"))

    assert refusal(tmp_path, body).reason == "POOL_UNREACHABLE"


def ways(made: Any) -> list[Callable[[], Any]]:
    """All ways to use a channel that isn't asyncio's."""
    return [
        lambda: client.call(
            made, verbs.POOL_GREET, hello("eais-test"), timeout_s=1, unreachable="BUG"
        ),
        lambda: client.upload(made, verbs.LISTENER_PUSH, [], timeout_s=1, unreachable="BUG"),
        lambda: client.stream(made, verbs.POOL_WATCH, []),
    ]


def test_a_channel_that_was_closed_here_says_so() -> None:
    made = grpc.insecure_channel("127.0.0.1:1")
    made.close()
    for way in ways(made):
        with pytest.raises(Detached, match="CANCELLED"):
            way()


class Mistaken:
    """A channel that finds something wrong with whatever is sent by it."""

    def unary_unary(self, *_: object) -> Callable[..., Any]:
        return self._refuse

    stream_unary = stream_stream = unary_unary

    def _refuse(self, *_: object, **__: object) -> Any:
        raise ValueError("metadata was invalid")


def test_a_mistake_is_not_taken_for_a_closed_channel() -> None:
    for way in ways(Mistaken()):
        with pytest.raises(ValueError, match="metadata was invalid"):
            way()


class Ending:
    """Handles every method as a server that is told to end: by CANCELLED, or not at all."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.go_on = threading.Event()

    def service(self, _details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._end)

    def _end(self, _request: object, context: grpc.ServicerContext) -> bytes:
        self.called.set()
        self.go_on.wait(30)
        context.abort(grpc.StatusCode.CANCELLED, "")
        raise AssertionError("abort raises")


@pytest.mark.parametrize("closed_here", [False, True])
def test_who_cancelled_a_call_is_told(closed_here: bool) -> None:
    ending = Ending()
    handlers: Any = [ending]
    with ThreadPoolExecutor(2) as threads:
        served = grpc.server(threads, handlers=handlers)
        made = grpc.insecure_channel(f"127.0.0.1:{served.add_insecure_port('127.0.0.1:0')}")
        served.start()
        greeting = threads.submit(
            client.call, made, verbs.POOL_GREET, hello("x"), timeout_s=30, unreachable="NO_WORKER"
        )
        assert ending.called.wait(30)
        if closed_here:
            made.close()
        ending.go_on.set()
        error = greeting.exception(30)
        made.close()
        served.stop(0).wait()
    assert isinstance(error, EaisError)
    assert error.reason == ("CANCELLED" if closed_here else "NO_WORKER")


async def never(request: Any, caller: Any) -> Any:
    raise AssertionError("nobody calls this")


def test_a_verb_is_served_to_strangers_where_nobody_is_known_and_only_there() -> None:
    with pytest.raises(TypeError, match="enrolment plane, where nobody is known"):
        server.unary(verbs.ENROLMENT_SIGN_CSR, never)
    with pytest.raises(TypeError, match="user plane, for those it knows"):
        server.open_unary(verbs.POOL_LIST, never)
    assert all(verb.roles or verb.plane is verbs.Plane.ENROLMENT for verb in verbs.VERBS)
