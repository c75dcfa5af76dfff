"""A host is drained under live calls: instances move, with their models, and nothing is lost."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import eais
from benchmarks.faults.callers import Callers
from benchmarks.faults.model import Question, model
from eais.errors import EaisError
from eais.identity import Identity
from eais.rpc import client, verbs
from eais.rpc.v1 import hosts_pb2, pool_pb2
from tests.system.stack import Host, Stack, embedded_pool, eventually, further_host, op

TIMEOUT_S = 60.0
FEED = {"x": np.arange(4, dtype=np.int64)}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    config = "[listener]\ncpu_cores = 2\n[manager]\ntick_s = 0.25\n"
    with embedded_pool(tmp_path_factory.mktemp("pool"), config) as made:
        before = os.environ.get("EAIS_CONFIG_DIR")
        os.environ["EAIS_CONFIG_DIR"] = str(made.config)
        yield made
        os.environ.pop("EAIS_CONFIG_DIR")
        if before is not None:
            os.environ["EAIS_CONFIG_DIR"] = before


@pytest.fixture(scope="module")
def second(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    root: Path = tmp_path_factory.mktemp("hosts")
    with further_host(stack, root, "h2", "127.0.0.2") as made:
        yield made


@pytest.fixture(autouse=True)
def uncordoned(stack: Stack, second: Host) -> Iterator[None]:
    yield
    for host in ("local", second.name):
        admin(stack, verbs.POOL_ADMIN_CORDON, hosts_pb2.CordonRequest(op_id=op(), host=host))


def admin(stack: Stack, verb: Any, request: Any) -> Any:
    """Call a verb of the management plane as an operator."""
    operator = stack.bundle(Identity.operator(stack.pool, "test"))
    with stack.dial(stack.endpoint("management"), operator) as line:
        return client.call(line, verb, request, timeout_s=30, unreachable="POOL_UNREACHABLE")


def drain(stack: Stack, host: str) -> None:
    """Begin to drain a host, the other ones taking grants again."""
    for use in stack.status().hosts:
        if use.host != host:
            request = hosts_pb2.CordonRequest(op_id=op(), host=use.host)
            admin(stack, verbs.POOL_ADMIN_CORDON, request)
    admin(stack, verbs.POOL_ADMIN_DRAIN, hosts_pb2.DrainRequest(op_id=op(), host=host))


def use_of(stack: Stack, host: str) -> hosts_pb2.HostUse:
    """How a host stands."""
    return next(use for use in stack.status().hosts if use.host == host)


def drained(stack: Stack, host: str) -> None:
    """Wait until nothing is left there."""
    eventually(lambda: not use_of(stack, host).instances or None, f"{host} is empty", TIMEOUT_S)


@contextmanager
def attached(stack: Stack) -> Iterator[str]:
    """An instance of one core."""
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = stack.ask(verbs.POOL_ATTACH, request).instance
    yield made.id
    detach = pool_pb2.InstanceRequest(op_id=op(), instance=made.id)
    stack.ask(verbs.POOL_DETACH, detach)


def session_on(instance: str, made: bytes = b"") -> eais.InferenceSession:
    options = [{"instance": instance, "timeout_s": 20.0}]
    return eais.InferenceSession(made or model(), provider_options=options)


def large() -> bytes:
    """The model with 12 MiB more of it than it needs: three pieces of a fetch."""
    made = onnx.load_from_string(model())
    padding = np.arange(12 << 17, dtype=np.int64)
    made.graph.initializer.append(onnx.numpy_helper.from_array(padding, "padding"))
    made.graph.node.append(onnx.helper.make_node("ReduceMax", ["padding"], ["unused"]))
    return bytes(made.SerializeToString())


def go_on(callers: Callers) -> None:
    """Wait until fifty more calls have ended."""
    before = callers.tally.calls
    eventually(lambda: callers.tally.calls > before + 50 or None, "calls")


def test_a_drain_back_and_forth_under_calls_loses_none(stack: Stack, second: Host) -> None:
    with attached(stack) as instance, session_on(instance) as session:
        with Callers(lambda feeds: session.run(None, feeds), 20.0) as callers:
            epochs = [stack.instance(instance).epoch]
            for host, to in (("local", "h2"), ("h2", "local"), ("local", "h2")):
                if stack.instance(instance).host != host:
                    continue
                drain(stack, host)
                drained(stack, host)
                at = stack.instance(instance)
                assert (at.host, at.state) == (to, pool_pb2.IN_USE)
                epochs.append(at.epoch)
                go_on(callers)
        assert epochs == sorted(set(epochs))
        assert len(epochs) >= 3
    assert (callers.tally.lost, callers.tally.wrong) == (0, 0), callers.tally.errors


def test_a_model_that_nobody_else_has_is_asked_of_its_front_end(stack: Stack, second: Host) -> None:
    with attached(stack) as instance, session_on(instance) as session:
        with Callers(lambda feeds: session.run(None, feeds), 20.0) as callers:
            at = stack.instance(instance).host
            folder = second.directory if at == "h2" else stack.state / "listener"
            # The worker has what it loaded; the store lost it.
            for file in (folder / "store").glob("*/*"):
                if file.name != "salt":
                    file.unlink()
            drain(stack, at)
            drained(stack, at)
            go_on(callers)
        assert stack.instance(instance).host != at
    assert (callers.tally.lost, callers.tally.wrong) == (0, 0), callers.tally.errors


def test_a_model_of_several_pieces_moves(stack: Stack, second: Host) -> None:
    with attached(stack) as instance, session_on(instance, large()) as session:
        at = stack.instance(instance).host
        log = stack.state / ("h2.log" if at == "local" else "listener.log")
        before = log.read_text().count("at none of its sources")
        drain(stack, at)
        drained(stack, at)
        question = Question(5, 4)
        assert question.answers(session.run(None, question.feeds))
        assert stack.instance(instance).host != at
        assert log.read_text().count("at none of its sources") == before


def test_a_host_that_dies_while_it_is_moved_to_costs_nothing(stack: Stack, second: Host) -> None:
    with attached(stack) as instance, session_on(instance, large()) as session:
        if stack.instance(instance).host == second.name:
            drain(stack, second.name)
            drained(stack, second.name)
        with Callers(lambda feeds: session.run(None, feeds), 20.0) as callers:
            go_on(callers)
            drain(stack, "local")
            second.process.kill()
            second.process.wait(20)
            go_on(callers)
            second.start()
            drained(stack, "local")
            go_on(callers)
        assert stack.instance(instance).host == second.name
    assert (callers.tally.lost, callers.tally.wrong) == (0, 0), callers.tally.errors


def test_what_fits_nowhere_stays_and_the_operator_is_told_why(stack: Stack, second: Host) -> None:
    with attached(stack) as instance:
        at = stack.instance(instance)
        other = "h2" if at.host == "local" else "local"
        admin(
            stack,
            verbs.POOL_ADMIN_CORDON,
            hosts_pb2.CordonRequest(op_id=op(), host=other, cordoned=True),
        )
        request = hosts_pb2.DrainRequest(op_id=op(), host=at.host)
        use = admin(stack, verbs.POOL_ADMIN_DRAIN, request).host
        assert (use.cordoned, use.draining, use.instances) == (True, True, 1)
        (why,) = use_of(stack, at.host).stuck
        assert why.startswith(f"{instance}: NO_DEVICE: ")
        assert stack.instance(instance).epoch == at.epoch
        again = admin(stack, verbs.POOL_ADMIN_DRAIN, request).host
        assert again.draining


def test_an_instance_is_taken_away_whatever_its_tenant_does(stack: Stack, second: Host) -> None:
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = stack.ask(verbs.POOL_ATTACH, request).instance
    said: list[str] = []

    def call_on(session: eais.InferenceSession) -> None:
        try:
            while True:
                session.run(None, FEED)
        except EaisError as error:
            said.append(error.reason)

    with session_on(made.id) as session:
        caller = threading.Thread(target=call_on, args=(session,))
        caller.start()
        force = hosts_pb2.ForceDetachRequest(op_id=op(), instance=made.id)
        gone = admin(stack, verbs.POOL_ADMIN_FORCE_DETACH, force).instance
        assert (gone.state, gone.reason) == (pool_pb2.DELETED, "FORCE_DETACHED")
        assert gone.epoch > made.epoch
        assert admin(stack, verbs.POOL_ADMIN_FORCE_DETACH, force).instance == gone
        caller.join(TIMEOUT_S)
    assert said == ["FORCE_DETACHED"]
    shown = stack.instance(made.id)  # its owner can ask why for a day
    assert (shown.state, shown.reason) == (pool_pb2.DELETED, "FORCE_DETACHED")
