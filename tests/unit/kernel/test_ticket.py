from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eais.errors import IdentityError
from eais.identity import Identity
from eais.rpc.v1 import hosts_pb2
from eais.ticket import read_ticket, sign_ticket
from eais.tls import Bundle
from eais_pool.authority import Authority

POOL = "pool-0a0b0c0d"
NOW = datetime(2026, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ca", POOL, NOW)


def ticket(pool: str = POOL, ends: datetime = NOW + HOUR) -> hosts_pb2.Ticket:
    return hosts_pb2.Ticket(
        pool=pool,
        tenant="acme",
        to="h2",
        sha256=[b"x" * 32],
        not_after_unix_s=int(ends.timestamp()),
    )


def manager(authority: Authority, now: datetime = NOW) -> Bundle:
    return authority.bundle(Identity.manager(authority.pool), now)


def refused(signed: hosts_pb2.SignedTicket, ca_pem: bytes, now: datetime = NOW) -> str:
    with pytest.raises(IdentityError) as error:
        read_ticket(signed, POOL, ca_pem, now)
    assert error.value.reason == "TICKET"
    return error.value.message


def test_what_the_manager_signs_is_read(authority: Authority) -> None:
    signed = sign_ticket(ticket(), manager(authority))
    assert read_ticket(signed, POOL, authority.ca_pem, NOW) == ticket()
    assert read_ticket(signed, POOL, authority.ca_pem, NOW + HOUR) == ticket()


def test_one_that_has_ended_is_refused(authority: Authority) -> None:
    signed = sign_ticket(ticket(), manager(authority))
    late = NOW + HOUR + timedelta(minutes=6)
    assert "by this host's clock it is 2026-05-01 01:06" in refused(signed, authority.ca_pem, late)
    signed = sign_ticket(ticket(ends=NOW - timedelta(minutes=6)), manager(authority))
    assert "ended" in refused(signed, authority.ca_pem)


@pytest.mark.parametrize(
    "who",
    [
        lambda: Identity.listener(POOL, "h2"),
        lambda: Identity.worker(POOL, "ei-1", 1),
        lambda: Identity.frontend(POOL, "acme", "box"),
        lambda: Identity.operator(POOL, "ops"),
    ],
)
def test_only_a_manager_signs(authority: Authority, who: Callable[[], Identity]) -> None:
    signed = sign_ticket(ticket(), authority.bundle(who(), NOW))
    assert "manager" in refused(signed, authority.ca_pem)


def test_another_pools_manager_signs_nothing_here(authority: Authority, tmp_path: Path) -> None:
    for pool in (POOL, "pool-ffffffff"):
        other = Authority.create(tmp_path / f"other-{pool}", pool, NOW)
        signed = sign_ticket(ticket(), manager(other))
        assert "manager" in refused(signed, authority.ca_pem)
    signed = sign_ticket(ticket(pool="pool-ffffffff"), manager(authority))
    assert "another pool's" in refused(signed, authority.ca_pem)


def test_what_was_changed_is_refused(authority: Authority) -> None:
    signed = sign_ticket(ticket(), manager(authority))
    other = hosts_pb2.SignedTicket()
    other.CopyFrom(signed)
    other.ticket = ticket(ends=NOW + 9 * HOUR).SerializeToString()
    assert "signature" in refused(other, authority.ca_pem)
    other.CopyFrom(signed)
    other.leaf_pem = manager(authority).leaf_pem
    assert "signature" in refused(other, authority.ca_pem)
    for leaf in (b"", b"no PEM", signed.leaf_pem * 2, signed.leaf_pem * 40):
        other.CopyFrom(signed)
        other.leaf_pem = leaf
        assert refused(other, authority.ca_pem)


def test_both_cas_of_a_roll_are_taken(authority: Authority) -> None:
    old = sign_ticket(ticket(), manager(authority))
    before = authority.ca_pem
    authority.set_leaf_life(HOUR, NOW)
    authority.begin_roll(NOW)
    assert authority.ca_pem != before
    assert read_ticket(old, POOL, authority.ca_pem, NOW) == ticket()
    later = NOW + 2 * HOUR
    assert authority.advance(later)
    new = sign_ticket(ticket(ends=later + HOUR), manager(authority, later))
    assert read_ticket(new, POOL, authority.ca_pem, later).tenant == "acme"
    assert "manager" in refused(new, before, later)
