"""The session conformance suite: onnxruntime's own session as oracle, then ours on a pool."""

from __future__ import annotations

from collections.abc import Iterator

import onnxruntime
import pytest

import eais
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais_client.testing import check_session
from tests.system.stack import Stack, op


@pytest.fixture
def attached(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = stack.ask(verbs.POOL_ATTACH, request).instance
    monkeypatch.setenv("EAIS_INSTANCE", made.id)
    yield
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))


def test_onnxruntimes_session_conforms() -> None:
    check_session(onnxruntime.InferenceSession)


@pytest.mark.usefixtures("attached")
def test_our_session_conforms() -> None:
    check_session(eais.InferenceSession)
