"""Renewing by enrolment: a leaf that has ended, an enrolment that is due, a CA that is replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from eais import tls
from eais.errors import EaisError, IdentityError, make_error
from eais.identity import Identity, Role
from eais.rpc.v1 import common_pb2
from eais.tls import Bundle, LeafFile
from eais_client.context import enrolment_file
from eais_client.dialer import Dialer
from eais_client.enrolment import Enrolment, is_due
from eais_client.renewal import Renewal, reviver
from eais_pool.authority import Authority
from tests.unit.client.served import POOL, now

ADA = Identity.frontend(POOL, "acme", "ada")
LIFE, ENROLLED = timedelta(hours=1), timedelta(days=30)


@dataclass
class Machine:
    """One that has joined: its two files, a pool that renews, and a clock that the test moves."""

    authority: Authority
    leaf: LeafFile
    passed: timedelta = timedelta(0)
    asked: list[str] = field(default_factory=list)
    failures: list[EaisError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = now()
        self.path = enrolment_file(self.leaf.path)
        self.join()
        self.enrolment = Enrolment(self.leaf.path, self.by_enrolment)
        self.renewal = Renewal(self.leaf, self.by_leaf, self.wall, self.enrolment)

    def wall(self) -> datetime:
        return self.began + self.passed

    def join(self, identity: Identity = ADA) -> None:
        tls.save_bundle(self.leaf.path, self.authority.bundle(identity, self.wall(), LIFE))
        enrolled = self.authority.bundle(identity.enrolment, self.wall(), ENROLLED)
        tls.save_bundle(self.path, enrolled)

    def by_leaf(self, request: common_pb2.RenewRequest) -> common_pb2.RenewReply:
        return self.answer("leaf", self.leaf.current(), request)

    def by_enrolment(
        self, enrolled: Bundle, request: common_pb2.RenewRequest
    ) -> common_pb2.RenewReply:
        return self.answer("enrolment", enrolled, request)

    def answer(
        self, who: str, shown: Bundle, request: common_pb2.RenewRequest
    ) -> common_pb2.RenewReply:
        """As the manager: whoever shows a certificate of a CA that is trusted, in time."""
        self.asked.append(f"{who}+" if request.enrolment_csr_pem else who)
        if self.failures:
            raise self.failures.pop(0)
        tls.check_validity(shown, self.wall(), timedelta(0))
        assert tls.is_issued_by(shown.leaf_pem, self.authority.ca_pem)
        identity, moment = shown.identity.enrolled, self.wall()
        reply = common_pb2.RenewReply(
            leaf_pem=self.authority.issue(identity, request.csr_pem, moment, LIFE),
            ca_pem=self.authority.ca_pem,
        )
        if request.enrolment_csr_pem:
            reply.enrolment_pem = self.authority.issue(
                identity.enrolment, request.enrolment_csr_pem, moment, ENROLLED
            )
        return reply

    def renew(self) -> Bundle:
        made = self.renewal.renew(self.leaf.current())
        assert made is not None
        assert made == tls.load_bundle(self.leaf.path)
        return made

    def enrolled(self) -> Bundle:
        return tls.load_bundle(self.path)

    def dialer(self) -> Dialer:
        revive = reviver(self.leaf, self.enrolment, self.wall)
        return Dialer(self.leaf, POOL, Role.FRONTEND, self.wall, revive)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    authority = Authority.create(tmp_path / "ca", POOL, now())
    authority.set_leaf_life(LIFE, now())
    return Machine(authority, LeafFile(tmp_path / "identity" / "frontend.pem"))


def refusal(call: Callable[[], object]) -> EaisError:
    with pytest.raises(EaisError) as caught:
        call()
    return caught.value


def test_a_leaf_that_is_valid_renews_itself(machine: Machine) -> None:
    before = machine.enrolled()
    machine.passed = timedelta(minutes=45)
    machine.renew()
    assert (machine.asked, machine.enrolled()) == (["leaf"], before)


def test_a_leaf_that_has_ended_is_renewed_by_the_enrolment(machine: Machine) -> None:
    before = machine.enrolled()
    machine.passed = timedelta(days=7)
    made = machine.renew()
    assert machine.asked == ["enrolment"]
    assert made.identity == ADA
    assert made.not_after > machine.wall()
    assert machine.enrolled() == before


def test_an_enrolment_past_half_is_renewed_with_the_leaf(machine: Machine) -> None:
    before = machine.enrolled()
    machine.passed = timedelta(days=20)
    machine.renew()
    after = machine.enrolled()
    assert machine.asked == ["enrolment+"]
    assert after.identity == ADA.enrolment
    assert after.key_pem != before.key_pem
    assert after.not_after - machine.wall() > timedelta(days=29)
    assert machine.path.stat().st_mode & 0o777 == 0o600


def test_used_now_and_then_it_never_ends(machine: Machine) -> None:
    for _ in range(12):
        machine.passed += timedelta(days=29)
        machine.renew()
    assert set(machine.asked) == {"enrolment+"}


def test_both_have_ended(machine: Machine) -> None:
    machine.passed = timedelta(days=31)
    dialer = machine.dialer()
    error = refusal(dialer.bundle)
    assert error.reason == "CERT_EXPIRED"
    assert "`eais join ADDR < token`" in error.hint
    assert machine.asked == []


def test_who_dials_with_a_leaf_that_has_ended_has_a_new_one(machine: Machine) -> None:
    machine.passed = timedelta(days=7)
    dialer = machine.dialer()
    assert dialer.bundle().not_after > machine.wall()
    assert machine.asked == ["enrolment"]
    dialer.bundle()
    assert machine.asked == ["enrolment"]


def test_a_pool_that_is_away_is_said_rather_than_the_leafs_end(machine: Machine) -> None:
    machine.passed = timedelta(days=7)
    machine.failures = [make_error("POOL_UNREACHABLE", "no answer")]
    dialer = machine.dialer()
    assert refusal(dialer.bundle).reason == "POOL_UNREACHABLE"
    assert dialer.bundle().not_after > machine.wall()


def test_a_machine_that_never_joined_is_told_of_its_own_pool(machine: Machine) -> None:
    machine.path.unlink()
    machine.passed = timedelta(days=7)
    error = refusal(machine.dialer().bundle)
    assert (error.reason, "eais pool up" in error.hint) == ("CERT_EXPIRED", True)


def test_an_enrolment_of_somebody_else_is_left_alone(machine: Machine) -> None:
    other = Identity.frontend(POOL, "globex", "ada").enrolment
    tls.save_bundle(machine.path, machine.authority.bundle(other, machine.wall(), ENROLLED))
    machine.passed = timedelta(days=7)
    assert refusal(machine.dialer().bundle).reason == "CERT_EXPIRED"
    assert machine.asked == []


def test_a_damaged_enrolment_doesnt_keep_a_leaf_from_being_renewed(machine: Machine) -> None:
    machine.path.write_bytes(b"damaged")
    machine.passed = timedelta(minutes=45)
    machine.renew()
    assert machine.asked == ["leaf"]


def test_an_enrolment_that_is_refused_doesnt_keep_a_leaf_from_being_renewed(
    machine: Machine,
) -> None:
    machine.passed = timedelta(days=20)
    fresh = machine.authority.bundle(ADA, machine.wall(), LIFE)
    tls.save_bundle(machine.leaf.path, fresh)
    machine.failures = [IdentityError("PERMISSION_DENIED", "no")]
    machine.renew()
    assert machine.asked == ["enrolment+", "leaf", "enrolment+"]


def test_a_replaced_ca_takes_the_enrolment_along(machine: Machine) -> None:
    machine.authority.begin_roll(machine.wall())
    machine.passed = timedelta(minutes=45)
    machine.renew()
    assert machine.enrolled().ca_pem == machine.authority.ca_pem, "it trusts the new CA too"
    machine.passed = timedelta(hours=1, minutes=10)
    assert machine.authority.advance(machine.wall())
    machine.passed = timedelta(hours=1, minutes=25)
    made = machine.renew()
    assert machine.asked == ["leaf", "leaf", "enrolment+"]
    assert not is_due(machine.enrolled(), made, machine.wall())
    machine.passed = timedelta(days=7)
    while machine.authority.advance(machine.wall()):
        pass
    assert machine.renew().ca_pem == machine.authority.ca_pem


def test_an_enrolment_of_another_key_is_refused(machine: Machine) -> None:
    stray = machine.authority.bundle(ADA.enrolment, machine.began, ENROLLED)
    before = machine.enrolled()

    def answer(who: str, shown: Bundle, request: common_pb2.RenewRequest) -> common_pb2.RenewReply:
        reply = Machine.answer(machine, who, shown, request)
        reply.enrolment_pem = stray.leaf_pem
        return reply

    machine.answer = answer  # type: ignore[method-assign]
    machine.passed = timedelta(days=20)
    assert refusal(machine.renew).reason == "CERT_KEY_MISMATCH"
    assert machine.enrolled() == before


def test_a_pool_that_signs_no_enrolment_leaves_the_old_one(machine: Machine) -> None:
    before = machine.enrolled()

    def answer(who: str, shown: Bundle, request: common_pb2.RenewRequest) -> common_pb2.RenewReply:
        reply = Machine.answer(machine, who, shown, request)
        reply.ClearField("enrolment_pem")
        return reply

    machine.answer = answer  # type: ignore[method-assign]
    machine.passed = timedelta(days=20)
    machine.renew()
    assert machine.enrolled() == before
