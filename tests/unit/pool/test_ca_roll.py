"""A roll of the CA: its phases, its file, and who trusts whom at every moment of it."""

from __future__ import annotations

import functools
import os
import shutil
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from eais import tls
from eais.identity import Identity
from eais_pool.authority import Authority
from eais_pool.brain import ca_roll
from eais_pool.brain.ca_roll import NEXT, Phase, Roll

NOW = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
FRONT, WORKER = Identity.frontend("pool", "acme", "box"), Identity.worker("pool", "ei-1", 1)
STEADY = Roll(leaf_life=HOUR)


# The brain


def test_the_phases_of_a_roll() -> None:
    announced = ca_roll.begin(STEADY, NOW)
    assert (announced.phase, announced.phase_ends) == (Phase.ANNOUNCED, NOW + HOUR)
    almost = NOW + HOUR - timedelta(microseconds=1)
    assert ca_roll.advance(announced, almost) == announced
    retiring = ca_roll.advance(announced, NOW + HOUR)
    assert (retiring.phase, retiring.phase_ends) == (Phase.RETIRING, NOW + 2 * HOUR)
    assert ca_roll.advance(retiring, NOW + 2 * HOUR) == STEADY
    assert ca_roll.advance(STEADY, NOW + 1000 * HOUR) == STEADY
    assert {*NEXT, Phase.STEADY} == set(Phase)


def test_a_roll_that_is_under_way_goes_on() -> None:
    announced = ca_roll.begin(STEADY, NOW)
    assert ca_roll.begin(announced, NOW + HOUR / 2) == announced


def test_each_phase_has_its_whole_length_however_late_it_begins() -> None:
    announced = ca_roll.begin(STEADY, NOW)
    late = NOW + 100 * HOUR
    retiring = ca_roll.advance(announced, late)
    assert (retiring.phase, retiring.phase_ends) == (Phase.RETIRING, late + HOUR)


def test_what_is_left() -> None:
    announced = ca_roll.begin(STEADY, NOW)
    assert ca_roll.left(STEADY, NOW) == (timedelta(0), timedelta(0))
    assert ca_roll.left(announced, NOW + HOUR / 4) == (HOUR * 0.75, HOUR * 1.75)
    retiring = ca_roll.advance(announced, NOW + HOUR)
    assert ca_roll.left(retiring, NOW + HOUR * 1.5) == (HOUR / 2, HOUR / 2)
    assert ca_roll.left(retiring, NOW + HOUR * 9) == (timedelta(0), timedelta(0))


def test_leaves_of_a_longer_life_are_waited_for() -> None:
    shorter = ca_roll.with_life(Roll(leaf_life=24 * HOUR), HOUR, NOW)
    assert shorter.older_end == NOW + 24 * HOUR
    later = NOW + 3 * HOUR
    assert ca_roll.with_life(shorter, HOUR, later) == shorter
    announced = ca_roll.begin(shorter, later)
    assert announced.phase_ends == NOW + 24 * HOUR
    over = NOW + 24 * HOUR
    assert ca_roll.advance(announced, over).phase_ends == over + HOUR
    assert ca_roll.with_life(shorter, HOUR, over).older_end is None


def test_a_longer_life_holds_for_the_phases_to_come() -> None:
    assert ca_roll.begin(ca_roll.with_life(STEADY, 5 * HOUR, NOW), NOW).phase_ends == NOW + 5 * HOUR


def test_an_unknown_life_is_the_longest() -> None:
    assert ca_roll.begin(Roll(), NOW).phase_ends == NOW + ca_roll.MAX_LEAF_LIFE


@pytest.mark.parametrize(
    "bad",
    [
        {"phase": Phase.ANNOUNCED},
        {"phase_ends": NOW},
        {"leaf_life": -HOUR},
        {"leaf_life": 25 * HOUR},
    ],
)
def test_a_roll_that_is_none(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"end|leaf_life"):
        Roll(**bad)  # type: ignore[arg-type]


# Leaves at every moment of a roll


is_issued_by = functools.cache(tls.is_issued_by)


def trusts(one: tls.Bundle, other: tls.Bundle) -> bool:
    return is_issued_by(other.leaf_pem, one.ca_pem)


def test_all_leaves_that_are_valid_at_once_trust_each_other(tmp_path: Path) -> None:
    """Each identity renews at 66 %, the latest there is; one looks every 5 % of a life."""
    authority = Authority.create(tmp_path / "ca", "pool", NOW)
    authority.set_leaf_life(HOUR, NOW)
    old = authority.ca_pem
    held: dict[int, tls.Bundle] = {}
    seen = set()
    for step in range(80):
        now = NOW + HOUR * 0.05 * step
        if step == 20:
            assert authority.begin_roll(now)
        authority.advance(now)
        seen.add(authority.roll.phase)
        for n in range(13):
            if step % 13 == n or n not in held:
                held[n] = authority.bundle(FRONT if n % 2 else WORKER, now, HOUR)
        for bundle in held.values():
            assert bundle.not_after > now
            assert all(trusts(bundle, other) for other in held.values())
    assert seen == set(Phase)
    assert old not in authority.ca_pem
    assert authority.roll.phase is Phase.STEADY
    assert all(bundle.ca_pem == authority.ca_pem for bundle in held.values())


def test_who_signs_and_who_is_trusted(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca", "pool", NOW)
    authority.set_leaf_life(HOUR, NOW)
    old, first = authority.signer_pem, authority.signer_sha256
    assert authority.begin_roll(NOW)
    assert not authority.begin_roll(NOW + HOUR / 2)
    both = authority.ca_pem
    assert len(tls.load_certificates(both)) == 2
    assert (authority.signer_pem, both.startswith(old)) == (old, True)
    new = both.removeprefix(old)
    assert not authority.advance(NOW + HOUR / 2)
    assert authority.advance(NOW + HOUR)
    assert (authority.signer_pem, authority.ca_pem) == (new, both)
    assert authority.signer_sha256 != first
    assert authority.advance(NOW + 2 * HOUR)
    assert (authority.signer_pem, authority.ca_pem) == (new, new)
    assert old not in (tmp_path / "ca" / "authority.pem").read_bytes()
    assert authority.begin_roll(NOW + 2 * HOUR), "the next one"


def test_a_rolled_ca_lasts_from_the_roll_on(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca", "pool", NOW)
    years = NOW + timedelta(days=3600)
    authority.set_leaf_life(HOUR, years)
    ended = authority.ends
    authority.begin_roll(years)
    authority.advance(years + HOUR)
    assert authority.ends - ended > timedelta(days=3590)


# The file: killed between any two writes


class Killed(BaseException):
    """What the next step of writing finds."""


def step_and_die(authority: Authority, at: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Begin a roll, or end its phase; die before the `at`th call to the kernel about files."""
    count = 0

    def counted(real: object) -> object:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal count
            if count == at:
                raise Killed
            count += 1
            return real(*args, **kwargs)  # type: ignore[operator]

        return call

    with monkeypatch.context() as patched:
        for name in ("open", "fsync", "fchmod", "rename", "replace", "unlink"):
            patched.setattr(os, name, counted(getattr(os, name)))
        try:
            if not authority.begin_roll(NOW):
                assert authority.advance(authority.roll.phase_ends or NOW)
        except Killed:
            return True
    return False


@pytest.mark.parametrize("done", [0, 1, 2], ids=["begin", "sign anew", "drop"])
def test_a_kill_at_any_moment_leaves_a_whole_state(
    tmp_path: Path, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    phases = [Phase.STEADY, Phase.ANNOUNCED, Phase.RETIRING, Phase.STEADY]
    prepared = tmp_path / "prepared"
    authority = Authority.create(prepared, "pool", NOW)
    authority.set_leaf_life(HOUR, NOW)
    for _ in range(done):
        if not authority.begin_roll(NOW):
            authority.advance(authority.roll.phase_ends or NOW)
    left, killed = set(), True
    for at in range(50):
        directory = tmp_path / str(at)
        shutil.copytree(prepared, directory)
        authority = Authority.load(directory)
        before = authority.bundle(FRONT, NOW)
        killed = step_and_die(authority, at, monkeypatch)
        again = Authority.open(directory, "pool", NOW)
        left.add(again.roll.phase)
        assert again.roll.phase in (phases[done], phases[done + 1])
        assert [entry.name for entry in directory.iterdir()] == ["authority.pem"]
        after = again.bundle(WORKER, NOW)
        if again.roll.phase is not Phase.STEADY or again.roll.phase is phases[done]:
            assert trusts(after, before), "none that is out is shut out by the crash"
        goes_on(again)
        if not killed:
            break
    assert not killed, "every step of the write was died at"
    assert left == {phases[done], phases[done + 1]}


def goes_on(authority: Authority) -> None:
    """What was interrupted can be done, to its end."""
    authority.begin_roll(NOW)
    while authority.roll.phase_ends is not None:
        assert authority.advance(authority.roll.phase_ends)
    assert len(tls.load_certificates(authority.ca_pem)) == 1


def test_what_cannot_be_written_is_not_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority.create(tmp_path / "ca", "pool", NOW)
    authority.set_leaf_life(HOUR, NOW)
    before = authority.ca_pem

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            authority.begin_roll(NOW)
    assert (authority.roll.phase, authority.ca_pem) == (Phase.STEADY, before)
    assert Authority.load(tmp_path / "ca").roll.phase is Phase.STEADY
    assert authority.begin_roll(NOW)


@pytest.mark.parametrize("done", [0, 1, 2])
def test_the_file_says_all_that_is_known(tmp_path: Path, done: int) -> None:
    authority = Authority.create(tmp_path / "ca", "pool", NOW)
    authority.set_leaf_life(24 * HOUR, NOW)
    authority.set_leaf_life(HOUR, NOW)
    for _ in range(done):
        if not authority.begin_roll(NOW):
            authority.advance(authority.roll.phase_ends or NOW)
    again = Authority.load(tmp_path / "ca")
    assert (again.roll, again.ca_pem) == (authority.roll, authority.ca_pem)
    assert (again.signer_pem, again.ends) == (authority.signer_pem, authority.ends)


def test_rolled_cas_have_different_names(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca", "pool", NOW)
    authority.begin_roll(NOW)
    for one, other in pairwise(tls.load_certificates(authority.ca_pem)):
        assert one.subject != other.subject
