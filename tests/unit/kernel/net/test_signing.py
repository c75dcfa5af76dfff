"""Plans that a pool's manager has signed, and what a host's agent refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eais import manager_signed
from eais.errors import IdentityError
from eais.identity import Identity
from eais.net.messages import key_message, key_of, plan_message, plan_of
from eais.net.plan import VXLAN, NetPlan, Side, VnicKey
from eais.net.signing import read_plan, sign_plan
from eais.rpc.v1 import net_pb2
from eais_pool.authority import Authority

POOL = "pool-0a0b0c0d"
AGENT = "0123456789abcdef"
NOW = datetime(2026, 5, 1, tzinfo=UTC)
PLAN = NetPlan(
    VnicKey(POOL, "ei-7f3a", "rack1", Side.BACKEND),
    AGENT,
    "acme",
    7,
    VXLAN,
    "198.18.0.2",
    "198.18.0.3",
    mtu=1450,
    cap_bytes_per_s=1 << 20,
    peer_agent="fedcba9876543210",
    peer_underlay="10.0.0.2",
    number=9,
    port=4789,
    peer_port=4790,
    peer_public_key=b"k" * 32,
    peer_namespace=12,
    owner="spiffe://pool/listener/rack1",
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ca", POOL, NOW)


def signed(authority: Authority, plan: NetPlan = PLAN) -> net_pb2.SignedNetPlan:
    return sign_plan(plan, authority.bundle(Identity.manager(authority.pool), NOW))


def refusal(signed: net_pb2.SignedNetPlan, ca_pem: bytes, now: datetime = NOW) -> str:
    with pytest.raises(IdentityError) as error:
        read_plan(signed, AGENT, ca_pem, now)
    assert error.value.reason == "NET_PLAN"
    return error.value.message


def test_what_the_manager_signs_is_read_as_it_was(authority: Authority) -> None:
    assert read_plan(signed(authority), AGENT, authority.ca_pem, NOW) == PLAN


def test_every_field_is_carried() -> None:
    assert plan_of(plan_message(PLAN)) == PLAN
    there = {field.name for field in net_pb2.NetPlan.DESCRIPTOR.fields}
    assert {field.name for field, _ in plan_message(PLAN).ListFields()} == there
    assert key_of(key_message(PLAN.key)) == PLAN.key


@pytest.mark.parametrize(
    "who",
    [
        lambda: Identity.listener(POOL, "rack1"),
        lambda: Identity.worker(POOL, "ei-1", 1),
        lambda: Identity.frontend(POOL, "acme", "box"),
        lambda: Identity.operator(POOL, "ops"),
    ],
)
def test_only_a_manager_signs(authority: Authority, who: Callable[[], Identity]) -> None:
    forged = sign_plan(PLAN, authority.bundle(who(), NOW))
    assert "isn't signed by this pool's manager" in refusal(forged, authority.ca_pem)


def test_a_trusted_pool_signs_nothing_for_another(authority: Authority, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other", "pool-ffffffff", NOW)
    both = authority.ca_pem + other.ca_pem
    assert read_plan(signed(authority), AGENT, both, NOW) == PLAN
    assert "isn't signed by this pool's manager" in refusal(signed(other), both)
    assert "doesn't trust the pool 'pool-0a0b0c0d'" in refusal(signed(authority), other.ca_pem)


def test_what_was_changed_on_the_way_is_refused(authority: Authority) -> None:
    made = signed(authority)
    made.plan = plan_message(replace(PLAN, address="198.18.0.9")).SerializeToString()
    assert "its signature is wrong" in refusal(made, authority.ca_pem)
    made.plan = b"\xff"
    assert "can't be read" in refusal(made, authority.ca_pem)


def test_one_of_another_host_is_refused_here(authority: Authority) -> None:
    text = refusal(signed(authority, replace(PLAN, agent="fedcba")), authority.ca_pem)
    assert "it is for the agent 'fedcba'" in text


def test_a_signer_whose_time_is_over_is_refused(authority: Authority) -> None:
    late = NOW + timedelta(days=2)
    assert "and by this host's clock it is" in refusal(signed(authority), authority.ca_pem, late)


def test_a_plan_that_cannot_be_is_refused_though_it_is_signed(authority: Authority) -> None:
    message = plan_message(PLAN)
    message.side = net_pb2.NET_SIDE_UNSPECIFIED
    bundle = authority.bundle(Identity.manager(POOL), NOW)
    made = sign_plan(PLAN, bundle)
    again = manager_signed.sign(message.SerializeToString(), b"eais net plan 1\n", bundle)
    made.plan, made.signature = again.text, again.signature
    assert refusal(made, authority.ca_pem).startswith("side: ")


def test_what_was_signed_for_something_else_is_no_plan(authority: Authority) -> None:
    bundle = authority.bundle(Identity.manager(POOL), NOW)
    text = plan_message(PLAN).SerializeToString(deterministic=True)
    made = manager_signed.sign(text, b"eais ticket 1\n", bundle)
    forged = net_pb2.SignedNetPlan(plan=made.text, signature=made.signature, leaf_pem=made.leaf_pem)
    assert "its signature is wrong" in refusal(forged, authority.ca_pem)
