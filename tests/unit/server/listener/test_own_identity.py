"""A listener's leaf and enrolment: which is renewed when, and with which."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eais import tls
from eais.errors import EaisError, make_error
from eais.identity import Identity, Role
from eais.rpc.v1 import common_pb2
from eais_pool.authority import Authority
from eais_server.listener.own_identity import OwnIdentity
from eais_server.testing.listener_bench import POOL, ListenerBench

Run = Callable[[Coroutine[Any, Any, None]], None]

WHO = Identity.listener(POOL, "local")
HOUR, DAYS_30 = timedelta(hours=1), timedelta(days=30)


class Member:
    """A host that has joined, and its pool: what it asks for is signed, unless it is refused.

    Attributes:
        authority, ca_pem: what signs, and what is trusted.
        signs: whose certificates it gets, if not its own.
        asked: who asked, and whether for an enrolment too.
    """

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.authority = authority
        self.ca_pem = authority.ca_pem
        self.signs: Identity | None = None
        self.today = datetime.now(UTC).replace(microsecond=0)
        self.clock = 0.0
        self.refusal: EaisError | None = None
        self.asked: list[tuple[Role, bool]] = []
        self.leaf = tls.OwnLeaf(directory / "identity.pem")
        self.enrolment = tls.OwnLeaf(directory / "enrolment.pem")
        self.own = OwnIdentity(
            self.leaf,
            self.enrolment,
            self._ask,
            self._ask_as,
            self._write,
            now=lambda: self.today,
            clock=lambda: self.clock,
        )

    def join(self, authority: Authority, *, of: Identity = WHO) -> None:
        """Have a fresh leaf, and a fresh enrolment (`of` whom)."""
        tls.save_bundle(self.leaf.path, authority.bundle(WHO, self.today, HOUR))
        enrolment = authority.bundle(of.enrolment, self.today, DAYS_30)
        tls.save_bundle(self.enrolment.path, enrolment)

    def renew(self, *, after: timedelta = timedelta(0)) -> list[tuple[Role, bool]]:
        """Look once, when that time has passed: who asked, and whether for an enrolment too."""
        self.today += after
        self.asked.clear()
        asyncio.run(self.own.renew())
        return self.asked

    async def _ask(self, request: common_pb2.RenewRequest) -> common_pb2.RenewReply:
        assert self.today < self.leaf.current().not_after, "no line is made with an ended leaf"
        return await self._ask_as(self.leaf.current(), request)

    async def _ask_as(
        self, bundle: tls.Bundle, request: common_pb2.RenewRequest
    ) -> common_pb2.RenewReply:
        who = bundle.identity
        self.asked.append((who.role, bool(request.enrolment_csr_pem)))
        if self.refusal is not None:
            raise self.refusal
        assert tls.is_issued_by(bundle.leaf_pem, self.ca_pem), "another pool's"
        reply = common_pb2.RenewReply(
            leaf_pem=self._signed(who.enrolled, request.csr_pem, HOUR),
            ca_pem=self.ca_pem,
        )
        if request.enrolment_csr_pem:
            reply.enrolment_pem = self._signed(who, request.enrolment_csr_pem, DAYS_30)
        return reply

    def _signed(self, identity: Identity, csr_pem: bytes, life: timedelta) -> bytes:
        return self.authority.issue(self.signs or identity, csr_pem, self.today, life)

    async def _write(self, file: tls.OwnLeaf, bundle: tls.Bundle) -> None:
        file.replace(bundle)


@pytest.fixture
def member(tmp_path: Path, authority: Authority) -> Member:
    made = Member(tmp_path, authority)
    made.join(authority)
    return made


def test_a_leaf_is_renewed_with_itself_past_half_of_its_life(member: Member) -> None:
    assert member.renew() == []
    assert member.renew(after=timedelta(minutes=25)) == []
    enrolment = member.enrolment.current()
    assert member.renew(after=timedelta(minutes=15)) == [(Role.LISTENER, False)]
    assert member.leaf.current().not_after == member.today + HOUR
    assert member.enrolment.current() == enrolment


def test_one_that_ended_while_the_host_was_off_is_renewed_with_the_enrolment(
    member: Member,
) -> None:
    enrolment = member.enrolment.current()
    assert member.renew(after=timedelta(days=3)) == [(Role.ENROLMENT, False)]
    assert member.leaf.current().identity == WHO
    assert member.leaf.current().not_after == member.today + HOUR
    assert member.enrolment.current() == enrolment
    assert member.renew() == []


def test_an_enrolment_is_renewed_past_half_of_its_life(member: Member) -> None:
    assert member.renew(after=timedelta(days=21)) == [(Role.ENROLMENT, True)]
    assert member.enrolment.current().identity == WHO.enrolment
    assert member.enrolment.current().not_after == member.today + DAYS_30
    assert member.leaf.current().not_after == member.today + HOUR


def test_it_is_renewed_while_the_leaf_is_fresh(member: Member, authority: Authority) -> None:
    member.today += timedelta(days=21)
    tls.save_bundle(member.leaf.path, authority.bundle(WHO, member.today, HOUR))
    assert member.renew() == [(Role.ENROLMENT, True)]


def test_one_of_an_older_ca_is_renewed_as_soon_as_a_leaf_is_of_the_new_one(
    member: Member, authority: Authority, tmp_path: Path
) -> None:
    new = Authority.create(tmp_path / "next", POOL, member.today)
    member.authority, member.ca_pem = new, authority.ca_pem + new.ca_pem
    assert member.renew(after=timedelta(minutes=40)) == [
        (Role.LISTENER, False),
        (Role.ENROLMENT, True),
    ]
    for file in (member.enrolment, member.leaf):
        assert tls.is_issued_by(file.current().leaf_pem, new.ca_pem)
        assert file.current().ca_pem == member.ca_pem
    assert member.renew() == []


def test_when_both_have_ended_it_says_to_join_again(member: Member) -> None:
    with pytest.raises(EaisError) as caught:
        member.renew(after=timedelta(days=31))
    assert caught.value.reason == "CERT_EXPIRED"
    assert "eais listener up --join-again" in caught.value.hint
    assert member.asked == []


def test_another_hosts_enrolment_is_not_used(member: Member, authority: Authority) -> None:
    member.join(authority, of=Identity.listener(POOL, "other"))
    with pytest.raises(EaisError) as caught:
        member.renew(after=timedelta(hours=2))
    assert caught.value.reason == "CERT_EXPIRED"
    assert member.asked == []


def refused(member: Member) -> bool:
    """Look once more, a quarter of a second later; whether the pool was asked."""
    member.clock += 0.25
    with contextlib.suppress(EaisError):
        member.renew()
    return bool(member.asked)


def test_a_pool_that_is_away_is_asked_less_and_less_often(member: Member) -> None:
    member.today += timedelta(days=1)
    member.refusal = make_error("POOL_UNREACHABLE", "nobody there")
    looks = [refused(member) for _ in range(400)]
    # Of a hundred seconds: it waits five at most, by chance less.
    assert 10 <= sum(looks) <= 120
    member.refusal = None
    member.clock += 10
    assert member.renew() == [(Role.ENROLMENT, False)]


def test_a_leaf_that_is_not_this_listeners_is_refused(member: Member) -> None:
    member.signs = Identity.listener(POOL, "other")
    before = member.leaf.current()
    with pytest.raises(EaisError) as caught:
        member.renew(after=timedelta(minutes=40))
    assert caught.value.reason == "CERT_IDENTITY"
    assert member.leaf.current() == before


def test_a_listener_that_was_off_for_a_night_comes_back_by_itself(
    bench: ListenerBench, authority: Authority, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    yesterday = bench.today - timedelta(days=1)

    async def test() -> None:
        async with bench.pool():
            directory = bench.directory
            tls.save_bundle(directory / "identity.pem", authority.bundle(WHO, yesterday, HOUR))
            enrolment = authority.bundle(WHO.enrolment, yesterday, DAYS_30)
            tls.save_bundle(directory / "enrolment.pem", enrolment)
            async with bench.running():
                assert bench.manager.joins
        assert [who.role for who in bench.manager.renewed_by] == [Role.ENROLMENT]
        assert tls.load_bundle(directory / "identity.pem").not_after > bench.today

    with caplog.at_level(logging.ERROR):
        run(test())
    assert not caplog.records
