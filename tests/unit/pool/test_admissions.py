"""Tokens, tenants, and joining, as the pool's brain decides them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from eais_pool.brain.actions import Action, Refuse, Tell
from eais_pool.brain.codec import from_json, to_json
from eais_pool.brain.events import (
    JoinRequested,
    ManagerStarted,
    OpRequested,
    TenantRequested,
    TokenRequested,
)
from eais_pool.brain.membership import KEYS_KEPT, Members, TenantView, TokenRecord, TokenUsed
from eais_pool.brain.quotas import OPERATORS_MOST, Quotas
from eais_pool.brain.records import OpVerb
from eais_pool.brain.tokens import MOST_TOKENS, TOKEN_LIFE_S
from eais_pool.snapshot import Snapshot
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import SETTINGS, Pool, op_id

QUOTAS = Quotas({"instances": 4, "cpu": 3000}, {"acme": {"cpu": 2000}})
KEYS = ("k1", "k2")


def pool(*hosts: FakeHost) -> Pool:
    return Pool(*hosts, settings=replace(SETTINGS, quotas=QUOTAS))


def sha(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def token(n: int = 1, secret: str = "s", **changes: Any) -> TokenRequested:
    asked: dict[str, Any] = {"purpose": "frontend", "tenant": "acme", "name": "box", **changes}
    return TokenRequested(
        "op1", op_id(n), secret_sha256=sha(secret), salt="00", spare_name="made-up", **asked
    )


def join(secret: str = "s", purpose: str = "frontend", keys: Any = KEYS) -> JoinRequested:
    return JoinRequested(sha(secret), purpose, keys)


def tenant(n: int = 1, name: str = "acme", **changes: Any) -> TenantRequested:
    return TenantRequested("op1", op_id(n), name, **changes)


def told(a: Pool, event: Any) -> Any:
    """What is answered at once: a record, or the reason of the refusal."""
    a.shell.feed(event)
    said: list[Action] = [*a.shell.said_of(Tell), *a.shell.said_of(Refuse)]
    [only] = said
    return only.answer if isinstance(only, Tell) else only.failure.reason  # type: ignore[union-attr]


# Tokens


def test_a_token_works_once_for_what_it_was_made_for() -> None:
    a = pool()
    made = told(a, token())
    assert made == TokenRecord(sha("s"), "00", "frontend", "acme", "box", 1000 + TOKEN_LIFE_S)
    assert told(a, join()) == made
    assert told(a, join(keys=("k3", "k4"))) == "TOKEN"
    assert a.shell.state.members.tokens == {}
    a.end()


def test_every_wrong_token_is_refused_in_the_same_words() -> None:
    a = pool()
    told(a, token(1, "used"))
    told(a, token(2, "good"))
    told(a, join("used"))
    texts = set()
    for wrong in (join("used"), join("nobody's"), join("good", "listener"), join("good", "king")):
        a.shell.feed(wrong)
        [refused] = a.shell.said_of(Refuse)
        texts.add((refused.failure.reason, refused.failure.message, refused.failure.hint))
    a.shell.now += TOKEN_LIFE_S
    a.shell.feed(join("good"))
    [refused] = a.shell.said_of(Refuse)
    texts.add((refused.failure.reason, refused.failure.message, refused.failure.hint))
    assert len(texts) == 1
    assert texts.pop()[0] == "TOKEN"


def test_a_wrong_purpose_does_not_use_a_token_up() -> None:
    a = pool()
    told(a, token())
    assert told(a, join(purpose="operator")) == "TOKEN"
    assert isinstance(told(a, join()), TokenRecord)


def test_a_token_is_good_to_its_last_moment_and_is_then_forgotten() -> None:
    from eais_pool.brain.events import Tick

    a = pool()
    told(a, token(1, "a"))
    told(a, token(2, "b"))
    a.shell.now += TOKEN_LIFE_S - 0.001
    assert isinstance(told(a, join("a")), TokenRecord)
    a.shell.feed(Tick(frozenset()))
    assert len(a.shell.state.members.tokens) == 1
    a.shell.now += 0.001
    a.shell.feed(Tick(frozenset()))
    assert a.shell.state.members.tokens == {}
    a.end()


def test_another_boot_ends_tokens_and_a_restart_does_not() -> None:
    a = pool()
    told(a, token())
    a.shell.feed(ManagerStarted("boot-1"))
    assert len(a.shell.state.members.tokens) == 1
    a.shell.now = 5.0
    a.shell.feed(ManagerStarted("boot-2"))
    assert told(a, join()) == "TOKEN"
    a.end()


def test_a_key_joins_once() -> None:
    a = pool()
    for n, secret in enumerate("abc", 1):
        told(a, token(n, secret))
    assert isinstance(told(a, join("a", keys=("k1", "k2"))), TokenRecord)
    assert told(a, join("b", keys=("k3", "k1"))) == "CSR_REFUSED"
    assert told(a, join("b", keys=("k2", "k3"))) == "CSR_REFUSED"
    assert told(a, join("b", keys=("k3", "k3"))) == "CSR_REFUSED"
    # None of these used it up.
    assert isinstance(told(a, join("b", keys=("k3", "k4"))), TokenRecord)
    a.end()


def test_the_oldest_keys_are_forgotten_in_the_end() -> None:
    members = Members()
    members.keys = dict.fromkeys(str(n) for n in range(KEYS_KEPT))
    members.tokens["s"] = TokenRecord("s", "", "frontend", "acme", "box", 0.0)
    members.apply(TokenUsed("s", ("new", "newer")))
    assert len(members.keys) == KEYS_KEPT
    assert "0" not in members.keys
    assert list(members.keys)[-2:] == ["new", "newer"]


def test_what_operators_asked_for_is_remembered_up_to_a_limit_of_each_kind() -> None:
    a = pool(FakeHost("h1", (device(),)))
    first = told(a, token(1))
    state = a.shell.state
    [answered] = state.members.ops.values()
    others = (replace(answered, op_id=str(n)) for n in range(OPERATORS_MOST - 1))
    state.members.ops |= {(op.operator, op.op_id): op for op in others}
    assert told(a, token(2, "other")) == "QUOTA"
    assert told(a, tenant(3, create=True, name="b")) == "QUOTA"
    assert told(a, token(1)) == first
    # A host can still be taken out of use; until that was done as often.
    cordon = OpRequested(OpVerb.CORDON, "", "op1", op_id(4), host="h1")
    a.shell.feed(cordon)
    assert not a.shell.said_of(Refuse)
    done = state.ops["", op_id(4)]
    state.ops.update({("", str(n)): replace(done, op_id=str(n)) for n in range(OPERATORS_MOST)})
    assert told(a, replace(cordon, op_id=op_id(5))) == "QUOTA"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"purpose": "worker"}, "ARGUMENT"),
        ({"purpose": "manager"}, "ARGUMENT"),
        ({"purpose": ""}, "ARGUMENT"),
        ({"tenant": "nobody"}, "NOT_FOUND"),
        ({"tenant": ""}, "NAME"),
        ({"tenant": "../acme"}, "NAME"),
        ({"name": "a b"}, "NAME"),
        ({"name": "x" * 65}, "NAME"),
        ({"purpose": "listener"}, "ARGUMENT"),
        ({"purpose": "operator"}, "ARGUMENT"),
        ({"purpose": "listener", "tenant": "", "name": "local"}, "NAME_TAKEN"),
        ({"purpose": "listener", "tenant": "", "name": "a/b"}, "NAME"),
    ],
)
def test_a_token_for_what_cannot_join_is_not_made(changes: dict[str, Any], reason: str) -> None:
    a = pool()
    assert told(a, token(**changes)) == reason
    assert a.shell.state.members == Members()


def test_without_a_name_one_is_made_up() -> None:
    a = pool()
    assert told(a, token(name="")).name == "made-up"


def test_a_repetition_gets_the_first_answer_and_makes_nothing() -> None:
    a = pool()
    made = told(a, token(1, "first", name=""))
    again = replace(token(1, "second", name=""), spare_name="other", salt="01")
    assert told(a, again) == made
    assert len(a.shell.state.members.tokens) == 1
    assert told(a, token(1, name="another")) == "IDEMPOTENCY_MISMATCH"
    assert told(a, tenant(1, "fresh", create=True)) == "IDEMPOTENCY_MISMATCH"
    assert told(a, replace(token(), op_id="no uuid")) == "ARGUMENT"
    # Another operator's op_ids are its own.
    assert told(a, replace(token(1, "third"), operator="op2")).secret_sha256 == sha("third")
    a.end()


def test_answers_are_forgotten_after_a_day() -> None:
    from eais_pool.brain.events import Tick

    a = pool()
    told(a, token())
    a.shell.now += SETTINGS.answer_kept_s + 1
    a.shell.feed(Tick(frozenset()))
    assert a.shell.state.members.ops == {}
    a.end()


def test_there_is_a_most_of_unused_tokens() -> None:
    a = pool()
    tokens = a.shell.state.members.tokens
    for n in range(MOST_TOKENS):
        tokens[str(n)] = TokenRecord(str(n), "", "frontend", "acme", "box", 9e9)
    assert told(a, token()) == "QUOTA"


# Tenants


def names(a: Pool) -> set[str]:
    return set(a.shell.state.members.tenants)


def test_a_tenant_is_made_once_and_then_has_tokens() -> None:
    a = pool()
    assert told(a, token(1, tenant="new")) == "NOT_FOUND"
    view = told(a, tenant(2, "new", create=True, quotas=(("gpu", 500),)))
    assert view == TenantView(
        "new",
        (("cpu", 3000), ("gpu", 500), ("instances", 4)),
        (("instances", 0), ("operations", 0)),
    )
    assert told(a, tenant(3, "new", create=True)) == "NAME_TAKEN"
    assert isinstance(told(a, token(1, tenant="new")), TokenRecord)
    a.end()


@pytest.mark.parametrize("name", ["acme", "default"])
def test_the_configurations_tenants_are_there_already(name: str) -> None:
    a = pool()
    assert told(a, tenant(1, name, create=True)) == "NAME_TAKEN"
    assert told(a, tenant(1, name, quotas=(("npu", 0),))).name == name
    assert names(a) == {name}


def test_quotas_in_force_are_the_default_then_the_configurations_then_the_verbs() -> None:
    a = pool()
    assert dict(told(a, tenant(1)).quotas) == {"instances": 4, "cpu": 2000}
    set_ = told(a, tenant(2, quotas=(("cpu", 1000), ("instances", None))))
    assert dict(set_.quotas) == {"cpu": 1000}
    more = told(a, tenant(3, quotas=(("gpu", 125),)))
    assert dict(more.quotas) == {"cpu": 1000, "gpu": 125}
    back = told(a, tenant(4, defaults=("cpu", "instances")))
    assert dict(back.quotas) == {"instances": 4, "cpu": 2000, "gpu": 125}
    a.end()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "nobody"}, "NOT_FOUND"),
        ({"name": "no/body"}, "NAME"),
        ({"name": "", "create": True}, "NAME"),
        ({"name": "A", "create": True}, "NAME"),
        ({"quotas": (("tpu", 1),)}, "ARGUMENT"),
        ({"defaults": ("tpu",)}, "ARGUMENT"),
        ({"quotas": (("cpu", 1),)}, "ARGUMENT"),
        ({"quotas": (("weight", 0),)}, "ARGUMENT"),
        ({"quotas": (("weight", 1001),)}, "ARGUMENT"),
        ({"quotas": (("weight", None),)}, "ARGUMENT"),
        ({"quotas": (("cpu", -125),)}, "ARGUMENT"),
        ({"quotas": (("cpu", 125 << 53),)}, "ARGUMENT"),
        ({"quotas": (("cpu", 0), ("cpu", 125))}, "ARGUMENT"),
        ({"quotas": (("cpu", 0),), "defaults": ("cpu",)}, "ARGUMENT"),
    ],
)
def test_what_no_tenant_can_have_changes_nothing(changes: dict[str, Any], reason: str) -> None:
    a = pool()
    assert told(a, tenant(**changes)) == reason
    assert a.shell.state.members == Members()


def test_a_verbs_quota_is_what_attach_is_judged_by() -> None:
    a = pool(FakeHost(devices=(device(milli=8000),)))
    assert isinstance(told(a, tenant(9, quotas=(("cpu", 1000), ("instances", 2)))), TenantView)
    a.attached("cpu.1")
    a.ask("attach", type="cpu.1")
    assert (a.failure().reason, a.shell.state.serial) == ("QUOTA", 1)
    told(a, tenant(10, quotas=(("cpu", None),)))
    a.attached("cpu.1")
    a.ask("attach", type="cpu.1")
    assert a.failure().reason == "QUOTA"  # of instances
    view = told(a, tenant(11))
    assert dict(view.used) == {"instances": 2, "operations": 2, "cpu": 2000}
    a.end()


def test_a_snapshot_holds_them() -> None:
    a = pool()
    told(a, token(1, "a"))
    told(a, token(2, "b"))
    told(a, join("b"))
    told(a, tenant(3, "new", create=True, quotas=(("cpu", 0), ("gpu", None))))
    state = a.shell.state
    kept = from_json(Snapshot, to_json(Snapshot.of(state, 1)))
    assert kept.state() == state
