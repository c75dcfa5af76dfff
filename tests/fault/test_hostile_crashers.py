"""Models that kill the worker which loads or runs them, or never come to an end of it."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

import eais
from eais.errors import EaisError
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais_client.testing.conformance import oracle
from tests.fault.bystander import Bystander
from tests.fault.conftest import CONFIG
from tests.fault.hostile_models import slow_to_load
from tests.fault.measures import measured
from tests.system.raw import open_session, refusal
from tests.system.stack import Stack, eventually, op
from tests.unit.server.runtime import models

LOAD_TIMEOUT_S = 4


@pytest.fixture(scope="module")
def pool_config() -> str:
    """Of this module: a load is given up soon."""
    return CONFIG.replace("[listener]\n", f"[listener]\nload_timeout_s = {LOAD_TIMEOUT_S}\n")


def listener_of(stack: Stack) -> int:
    return measured(stack.supervisor.pid)["eais-listener"].pid


def serving(stack: Stack, at: pool_pb2.Instance) -> bool | None:
    workers = stack.instance(at.id).workers
    return True if workers and workers[0].serving else None


def opened_by_drop_in(model: bytes) -> None:
    eais.InferenceSession(model).close()


@pytest.mark.hostile("model-crasher")
@pytest.mark.parametrize("drop_in", [False, True], ids=["wire", "drop-in"])
def test_a_model_that_kills_its_worker(
    stack: Stack,
    instance: pool_pb2.Instance,
    bystander: Bystander,
    client_home: Path,
    drop_in: bool,
) -> None:
    """By SIGFPE, while it is loaded: no `except` of any program sees it."""
    model = models.depth_to_space_2_32() + models.field(999, str(drop_in).encode())
    listener = listener_of(stack)
    errors: list[EaisError] = []
    x = np.ones((3, 2), np.float32)
    [want] = oracle(models.dataset("mul_1")).run(None, {"X": x})
    with eais.InferenceSession(models.dataset("mul_1")) as innocent:
        for _ in range(3):
            if drop_in:
                errors.append(refusal(opened_by_drop_in, model))
            else:
                errors.append(refusal(open_session, stack, instance, model, {}))
            bystander.check()
            [answer] = innocent.run(None, {"X": x})
            assert answer.tobytes() == want.tobytes()
    first, *others = errors
    assert first.reason == "MODEL_CRASHED"
    assert (first.metadata["stage"], first.metadata["signal"]) == ("load", "SIGFPE")
    assert {error.reason for error in others} == {"MODEL_QUARANTINED"}
    assert listener_of(stack) == listener
    eventually(lambda: serving(stack, instance), "its worker is back")


@pytest.mark.hostile("run-crasher")
@pytest.mark.skipif(
    platform.machine() != "x86_64", reason="elsewhere a division that overflows traps nothing"
)
def test_an_input_that_kills_the_worker(
    stack: Stack, instance: pool_pb2.Instance, bystander: Bystander, client_home: Path
) -> None:
    """By SIGFPE, while a model runs that does nothing wrong with other numbers."""
    halves = {"x": np.array([4, 6], np.int32), "y": np.array([2, 3], np.int32)}
    lowest = np.iinfo(np.int32).min
    deadly = {"x": np.array([lowest, 6], np.int32), "y": np.array([-1, 3], np.int32)}
    listener = listener_of(stack)
    x = np.ones((3, 2), np.float32)
    [want] = oracle(models.dataset("mul_1")).run(None, {"X": x})
    with (
        eais.InferenceSession(models.dataset("mul_1")) as innocent,
        eais.InferenceSession(models.divide()) as divide,
    ):
        assert divide.run(None, halves)[0].tolist() == [2, 2]
        for feed in (deadly, halves):
            error = refusal(divide.run, None, feed)
            assert error.reason == "MODEL_QUARANTINED"
            assert (error.metadata["stage"], error.metadata["signal"]) == ("run", "SIGFPE")
            bystander.check()
            [answer] = innocent.run(None, {"X": x})
            assert answer.tobytes() == want.tobytes()
    assert refusal(opened_by_drop_in, models.divide()).reason == "MODEL_QUARANTINED"
    assert listener_of(stack) == listener
    eventually(lambda: serving(stack, instance), "its worker is back")


@pytest.fixture
def waiting(stack: Stack) -> pool_pb2.Instance:
    """An instance for one load that takes for ever."""
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made: pool_pb2.Instance = stack.ask(verbs.POOL_ATTACH, request).instance
    return made


@pytest.mark.hostile("load-endless")
def test_a_model_that_is_loaded_for_ever(
    stack: Stack, waiting: pool_pb2.Instance, bystander: Bystander
) -> None:
    """The optimiser has hours to compute; `load_timeout_s` is 4 s here, 120 s by default."""
    error = refusal(open_session, stack, waiting, slow_to_load(), {})
    assert error.reason == "MODEL_LOAD_TIMEOUT"
    bystander.check()
    eventually(lambda: serving(stack, waiting), "its worker is back")
    assert open_session(stack, waiting, models.dataset("mul_1"), {}).id
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=waiting.id))
