"""Certificates turn over: by commands, by programs, and all of them at once under load."""

from __future__ import annotations

import datetime
import io
from pathlib import Path

import numpy as np
import pytest

import eais
from benchmarks.renewals.__main__ import ROLES, measure, missed
from eais import tls
from eais.identity import Identity
from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais_client.cli.main import main
from eais_client.cli.outside import Outside
from eais_client.context import ContextStore
from eais_client.frontend import frontend_of
from eais_client.testing.conformance import own_models
from tests.system.stack import Stack, eventually, op

FEED = {"X": np.ones((3, 2), np.float32)}
ISSUED_AGO = datetime.timedelta(minutes=40)


@pytest.fixture
def home(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContextStore:
    """Contexts of another user of the pool, to whom no manager writes certificates."""
    made = ContextStore(tmp_path)
    made.set(ContextStore(stack.config).read().get("local"))
    monkeypatch.setenv("EAIS_CONFIG_DIR", str(tmp_path))
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    return made


def save_due(stack: Stack, file: Path, identity: Identity) -> tls.Bundle:
    """Put an identity there that is to be renewed, but isn't at its end."""
    issued = datetime.datetime.now(datetime.UTC) - ISSUED_AGO
    made = stack.authority.bundle(identity, issued, datetime.timedelta(hours=1))
    tls.save_bundle(file, made)
    return made


def renewed(file: Path, before: tls.Bundle) -> tls.Bundle | None:
    """The identity in the file, if it is another than `before` by now."""
    now = tls.load_bundle(file)
    return now if now.leaf_pem != before.leaf_pem else None


@pytest.mark.parametrize(("command", "role"), [("list", "frontend"), ("devices", "operator")])
def test_a_command_renews_its_identity_at_the_start(
    stack: Stack, home: ContextStore, command: str, role: str
) -> None:
    file, identity = {
        "frontend": (
            home.frontend_file("local"),
            Identity.frontend(stack.pool, "default", "another"),
        ),
        "operator": (home.operator_file("local"), Identity.operator(stack.pool, "another")),
    }[role]
    before = save_due(stack, file, identity)
    out, err = io.StringIO(), io.StringIO()
    environ = {"EAIS_CONFIG_DIR": str(home.directory)}
    assert main([command], Outside(environ=environ, stdout=out, stderr=err)) == 0
    assert err.getvalue() == ""
    after = renewed(file, before)
    assert after is not None
    assert after.identity == identity
    assert after.key_pem != before.key_pem


def test_a_program_renews_its_identity_and_goes_on(stack: Stack, home: ContextStore) -> None:
    owner = Identity.frontend(stack.pool, "default", "another")
    file = home.frontend_file("local")
    before = save_due(stack, file, owner)
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    instance = stack.ask(verbs.POOL_ATTACH, request, before).instance.id
    with eais.InferenceSession(own_models()["mul_1"]) as session:
        right = session.run(None, FEED)
        eventually(lambda: renewed(file, before), "a renewed identity")
        frontend = frontend_of({"EAIS_CONFIG_DIR": str(home.directory)})
        # The Watch; the stream to the worker too, unless it was made after the renewal.
        eventually(lambda: frontend.turnover().replaced or None, "a new connection")
        np.testing.assert_array_equal(session.run(None, FEED), right)
        assert frontend.turnover().retries == 0
    named = pool_pb2.InstanceRequest(op_id=op(), instance=instance)
    stack.ask(verbs.POOL_DETACH, named, before)


@pytest.mark.slow
def test_no_call_notices_that_all_certificates_turn_over(tmp_path: Path) -> None:
    found = measure(20.0, 3.0, tmp_path)
    assert missed(found) == [], found
    assert found["calls"] > 0
    assert found["ca_rolls"] == 1
    assert all(found["renewals"][role] >= 3 for role in ROLES)
