"""Messages that come in the wrong order, for the wrong lease, in another version, or too many."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from eais import tls
from eais.errors import EaisError, Unavailable, UsageError
from eais.rpc import client, verbs
from eais.rpc.hello import WIRE_VERSION, hello
from eais.rpc.places import MAX_CALLS, MAX_STREAMS
from eais.rpc.status import error_of_message, error_of_rpc
from eais.rpc.v1 import common_pb2, listener_pb2, pool_pb2, value_pb2, worker_pb2
from tests.fault.bystander import Bystander
from tests.fault.open_calls import open_for_long, pushing
from tests.system.raw import open_session, refusal, run_once
from tests.system.stack import Stack, eventually, op
from tests.unit.server.runtime import models

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


@dataclass(frozen=True)
class Lease:
    """An instance that was stopped and started again: epoch 2, with a session."""

    at: pool_pb2.Instance
    session: str


@pytest.fixture(scope="module")
def renewed(stack: Stack) -> Iterator[Lease]:
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = stack.ask(verbs.POOL_ATTACH, request).instance
    for verb in (verbs.POOL_STOP, verbs.POOL_START):
        made = stack.ask(verb, pool_pb2.InstanceRequest(op_id=op(), instance=made.id)).instance
    assert made.epoch == 2
    yield Lease(made, open_session(stack, made, models.dataset("mul_1"), {}).id)
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))


def on_listener(stack: Stack, at: pool_pb2.Instance, name: str, epoch: int, verb: str) -> None:
    with stack.dial(at.listener, stack.frontend()) as line:
        if verb == "push":
            sent = [listener_pb2.PushChunk(instance=name, epoch=epoch, sha256=bytes(32), size=1)]
            client.upload(line, verbs.LISTENER_PUSH, sent, timeout_s=30, unreachable="X")
        elif verb == "open":
            spec = listener_pb2.SessionSpec(files=[listener_pb2.ModelFile(sha256=bytes(32))])
            ask = listener_pb2.OpenRequest(instance=name, epoch=epoch, spec=spec)
            client.call(line, verbs.LISTENER_OPEN, ask, timeout_s=30, unreachable="X")
        else:
            where = listener_pb2.LocateRequest(instance=name, epoch=epoch)
            client.call(line, verbs.LISTENER_LOCATE, where, timeout_s=30, unreachable="X")


def on_worker(stack: Stack, lease: Lease, name: str, epoch: int, verb: str) -> None:
    at = pool_pb2.Instance()
    at.CopyFrom(lease.at)
    at.id, at.epoch = name, epoch
    run_once(stack, at, lease.session, [])


def on_manager(stack: Stack, lease: Lease, name: str, epoch: int, verb: str) -> None:
    wanted = {"start": verbs.POOL_START, "detach": verbs.POOL_DETACH, "stop": verbs.POOL_STOP}
    if verb == "describe":
        stack.ask(verbs.POOL_DESCRIBE, pool_pb2.DescribeRequest(instance=name))
    else:
        stack.ask(wanted[verb], pool_pb2.InstanceRequest(op_id=op(), instance=name))


@pytest.mark.hostile("stale-or-foreign")
@pytest.mark.parametrize(
    "verb", ["open", "push", "locate", "run", "describe", "start", "stop", "detach"]
)
def test_a_lease_that_is_over_anothers_or_nobodys(
    stack: Stack, renewed: Lease, bystander: Bystander, verb: str
) -> None:
    foreign, unknown = bystander.instance.id, "ei-0000000000000000"
    stack.heard.secrets.discard(foreign)  # type: ignore[attr-defined]  # this row names it itself
    if verb in ("open", "push", "locate"):
        ask = lambda name, epoch: on_listener(stack, renewed.at, name, epoch, verb)  # noqa: E731
    elif verb == "run":
        ask = lambda name, epoch: on_worker(stack, renewed, name, epoch, verb)  # noqa: E731
    else:
        ask = lambda name, epoch: on_manager(stack, renewed, name, epoch, verb)  # noqa: E731
    answers = [refusal(ask, name, 1) for name in (foreign, unknown)]
    assert [error.reason for error in answers] == ["NOT_FOUND", "NOT_FOUND"]
    theirs, nobodys = (re.sub(r"ei-\w+", "EI", repr(vars(error))) for error in answers)
    assert theirs == nobodys
    if verb in ("open", "push", "locate", "run"):
        stale = refusal(ask, renewed.at.id, 1)
        assert stale.reason == "STALE_EPOCH"
        assert stale.metadata["epoch"] == "2"


@pytest.fixture(scope="module")
def pool_config() -> str:
    """Of this module: a tenant that may have one instance, and one CPU core."""
    from tests.fault.conftest import CONFIG

    return CONFIG + "\n[quota.tenants.small]\ninstances = 1\n\n[quota.tenants.one]\ncpu = 1\n"


@contextmanager
def attached(stack: Stack, kind: str, who: tls.Bundle) -> Iterator[pool_pb2.Instance]:
    request = pool_pb2.AttachRequest(op_id=op(), type=kind)
    made = stack.ask(verbs.POOL_ATTACH, request, who).instance
    try:
        yield made
    finally:
        ask = pool_pb2.InstanceRequest(op_id=op(), instance=made.id)
        stack.ask(verbs.POOL_DETACH, ask, who)


def attach(stack: Stack, kind: str, who: tls.Bundle) -> None:
    stack.ask(verbs.POOL_ATTACH, pool_pb2.AttachRequest(op_id=op(), type=kind), who)


IMPOSSIBLE = {
    "quantum": "TYPE_UNKNOWN",
    "cpu.0": "TYPE_UNKNOWN",
    "cpu.-1": "TYPE_UNKNOWN",
    "cpu.1e9": "TYPE_UNKNOWN",
    "gpu.1": "TYPE_UNKNOWN",
    "cpu.7": "ARGUMENT",
    "cpu." + "9" * 400: "TYPE_UNKNOWN",
    "../../etc/passwd": "TYPE_UNKNOWN",
}


@pytest.mark.hostile("attach-refused")
@pytest.mark.parametrize("case", ["quota", "quota of a kind", "no device", *IMPOSSIBLE])
def test_an_attach_that_cant_be(stack: Stack, instance: pool_pb2.Instance, case: str) -> None:
    if case.startswith("quota"):
        who = stack.frontend("small" if case == "quota" else "one", "f")
        with attached(stack, "cpu.1", who):
            error = refusal(attach, stack, "cpu.1", who)
        assert error.reason == "QUOTA"
        assert {"used", "asked", "limit"} <= error.metadata.keys()
    elif case == "no device":
        error = refusal(attach, stack, "cpu.6", stack.frontend())
        assert error.reason == "NO_DEVICE"
        assert int(error.metadata["push_back_ms"]) > 0
    else:
        error = refusal(attach, stack, case, stack.frontend())
        assert error.reason == IMPOSSIBLE[case]
    left = stack.ask(verbs.POOL_LIST, pool_pb2.ListRequest(), stack.frontend("small", "f"))
    assert not left.instances


RATIOS = ["-1", "-1:1", "nan", "1:nan", "0:0", "1:0.3", "65:0", "4:0.25:1", "x" * 4096]


@pytest.mark.hostile("ratio")
@pytest.mark.parametrize("ratio", [*RATIOS, "min above max", "kind", "late", "type"])
def test_a_ratio_that_is_none(stack: Stack, ratio: str) -> None:
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1" if ratio == "type" else "auto")
    if ratio == "min above max":
        request.policy.ratio.MergeFrom(pool_pb2.RatioPolicy(ratio="auto", least=3, most=2))
    elif ratio == "kind":
        request.policy.ratio.MergeFrom(pool_pb2.RatioPolicy(ratio="auto", kinds=["tpu"]))
    elif ratio == "late":
        late = pool_pb2.RatioPolicy(ratio="auto", late_target=float("nan"))
        request.policy.ratio.MergeFrom(late)
    else:
        request.policy.ratio.ratio = "auto" if ratio == "type" else ratio
    with pytest.raises(UsageError) as refused:
        stack.ask(verbs.POOL_ATTACH, request, stack.frontend("small", "f"))
    assert refused.value.reason == "RATIO"
    assert len(refused.value.message) < 200
    left = stack.ask(verbs.POOL_LIST, pool_pb2.ListRequest(), stack.frontend("small", "f"))
    assert not left.instances


def too_many_pushes(stack: Stack, at: pool_pb2.Instance) -> EaisError:
    """Calls that have begun and send nothing; one more is refused while they wait."""
    with Stack.dial(stack, at.listener, stack.frontend()) as line, open_for_long() as requests:
        calls = [pushing(line, requests([])) for _ in range(MAX_CALLS[1] + 1)]

        def refused() -> EaisError | None:
            errors = [error_of_rpc(call.exception(), "X") for call in calls if call.done()]
            return next((error for error in errors if error.reason == "BUSY"), None)

        return eventually(refused, "the listener is full for this caller")


def too_many_watches(stack: Stack, at: pool_pb2.Instance) -> EaisError:
    first = pool_pb2.WatchUp(hello=hello("eais-test"))
    return too_many_streams(stack, stack.endpoint("user"), verbs.POOL_WATCH, first)


def too_many_clients(stack: Stack, at: pool_pb2.Instance) -> EaisError:
    first = worker_pb2.ToWorker(hello=hello("eais-test"))
    return too_many_streams(stack, at.workers[0].endpoint, verbs.WORKER_STREAM, first)


def too_many_streams(stack: Stack, at: common_pb2.Endpoint, verb: Any, first: Any) -> EaisError:
    """Streams that are greeted and stay; the first one that isn't."""
    with Stack.dial(stack, at, stack.frontend()) as line, open_for_long() as requests:
        streams = []
        for _ in range(MAX_STREAMS[1] + 1):
            streams.append(client.stream(line, verb, requests([first])))
            try:
                next(streams[-1])
            except grpc.RpcError as error:
                stack.heard.failed(error)  # type: ignore[attr-defined]
                return error_of_rpc(error, "X")
    raise AssertionError("there was no end")


def too_many_calls(stack: Stack, at: pool_pb2.Instance) -> EaisError:
    """Runs without end fill the worker; one that comes then is refused at once."""
    session = open_session(stack, at, models.endless(), {}).id
    value = value_pb2.Value(tensor=value_pb2.Tensor(type=value_pb2.FLOAT, dims=[2], raw=bytes(8)))
    inputs = [value_pb2.NamedValue(name="x", value=value)]
    runs = [
        worker_pb2.Run(
            call_id=number,
            instance=at.id,
            epoch=at.epoch,
            session=session,
            inputs=inputs,
            timeout_us=3_000_000,
        )
        for number in range(1, 5001)
    ]
    messages = [
        worker_pb2.ToWorker(hello=hello("eais-test")),
        worker_pb2.ToWorker(hold=[session], runs=runs),
    ]
    with stack.dial(at.workers[0].endpoint, stack.frontend()) as line:
        for reply in client.stream(line, verbs.WORKER_STREAM, messages):
            for answer in reply.answers:
                error = error_of_message(answer.error)
                if error.reason == "BUSY":
                    return error
                assert error.reason == "DEADLINE_EXCEEDED"
    raise AssertionError("there was no end")


FLOODS = {
    "listener": too_many_pushes,
    "manager": too_many_watches,
    "worker's streams": too_many_clients,
    "worker's calls": too_many_calls,
}


@pytest.mark.hostile("concurrency")
@pytest.mark.parametrize("where", FLOODS)
def test_more_at_once_than_is_taken(
    stack: Stack, instance: pool_pb2.Instance, bystander: Bystander, where: str
) -> None:
    error = FLOODS[where](stack, instance)
    assert error.reason == "BUSY"
    assert int(error.metadata["push_back_ms"]) > 0
    bystander.check()
    session = open_session(stack, instance, models.dataset("mul_1"), {}).id
    value = value_pb2.Value(
        tensor=value_pb2.Tensor(type=value_pb2.FLOAT, dims=[3, 2], raw=bytes(24))
    )
    given = [value_pb2.NamedValue(name="X", value=value)]

    def served() -> bool | None:
        try:
            return bool(run_once(stack, instance, session, given).outputs)
        except Unavailable:
            return None

    eventually(served, "the caller itself is served again")
