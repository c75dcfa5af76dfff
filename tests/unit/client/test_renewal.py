"""Renewing an identity: checked, saved, one process at a time; and in the background in time."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import eais
from eais import tls
from eais.errors import DeadlineExceeded, EaisError, make_error
from eais.identity import Identity
from eais.rpc.v1 import common_pb2
from eais.tls import Bundle, LeafFile
from eais_client.config import ClientConfig
from eais_client.frontend import FrontEnd
from eais_client.renewal import Keeper, Renewal, freshen
from eais_client.testing import FakeWire, fake_instance
from eais_client.testing.conformance import own_models
from eais_client.testing.fake_tools import FakeTools
from eais_client.wire import Turnover
from eais_pool.authority import Authority
from tests.unit.client.ort_host import OrtHost
from tests.unit.client.served import POOL, now

OWNER = Identity.frontend(POOL, "default", "owner")
LIFE = timedelta(hours=1)
FEED = {"X": np.ones((3, 2), np.float32)}


@dataclass
class Desk:
    """A pool that renews, an identity's file, and a wall clock that the test moves."""

    authority: Authority
    leaf: LeafFile
    fakes: FakeTools = field(default_factory=FakeTools)
    passed: timedelta = timedelta(0)
    asked: int = 0
    errors: list[EaisError] = field(default_factory=list)
    identity: Identity = OWNER
    ca_pem: bytes = b""
    changes: list[Bundle] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = now()
        self.save()
        self.renewal = Renewal(self.leaf, self.answer, self.wall)

    def wall(self) -> datetime:
        return self.began + self.passed

    def save(self, authority: Authority | None = None) -> Bundle:
        """Another process's work: a fresh identity in the file."""
        made = (authority or self.authority).bundle(OWNER, self.began + self.passed, LIFE)
        tls.save_bundle(self.leaf.path, made)
        return made

    def answer(self, request: common_pb2.RenewRequest) -> common_pb2.RenewReply:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        moment = self.began + self.passed
        leaf = self.authority.issue(self.identity, request.csr_pem, moment, LIFE)
        return common_pb2.RenewReply(leaf_pem=leaf, ca_pem=self.ca_pem or self.authority.ca_pem)

    def keeper(self) -> Keeper:
        tools = self.fakes.tools()
        made = Keeper(self.renewal, tools.alarm, tools.clock, lambda: 1.0)
        made.start(lambda: self.changes.append(self.leaf.current()))
        return made

    def later(self, **more: float) -> None:
        """Let time pass, a step as short as a look at a time."""
        left = timedelta(**more)
        while left > timedelta(0):
            step = min(left, timedelta(seconds=30))
            self.passed += step
            self.fakes.pass_time(step.total_seconds())
            left -= step

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While another process renews."""
        path = self.leaf.path.with_name(f".{self.leaf.path.name}.lock")
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    authority = Authority.create(tmp_path / "ca", POOL, now())
    return Desk(authority, LeafFile(tmp_path / "identity" / "leaf.pem"))


def refused(desk: Desk) -> str:
    before = desk.leaf.path.read_bytes()
    with pytest.raises(EaisError) as caught:
        desk.renewal.renew(desk.leaf.current())
    assert desk.leaf.path.read_bytes() == before
    return caught.value.reason


def test_the_next_leaf_has_a_new_key_and_is_saved_before_it_is_used(desk: Desk) -> None:
    seen = desk.leaf.current()
    made = desk.renewal.renew(seen)
    assert made is not None
    assert made.identity == seen.identity
    assert made.key_pem != seen.key_pem
    assert tls.load_bundle(desk.leaf.path) == made
    assert desk.leaf.path.stat().st_mode & 0o777 == 0o600


def test_keys_that_killed_processes_left_are_removed_and_no_others(desk: Desk) -> None:
    def part(leaf: str, written: datetime) -> Path:
        made = desk.leaf.path.with_name(f".{leaf}.{written:%S}.part")
        made.write_bytes(b"a private key")
        os.utime(made, (written.timestamp(), written.timestamp()))
        return made

    moment = desk.wall()
    left = part("leaf.pem", moment - timedelta(seconds=61))
    others = [
        part("leaf.pem", moment - timedelta(seconds=59)),
        part("other.pem", moment - timedelta(seconds=61)),
    ]
    with desk.locked():
        desk.renewal.renew(desk.leaf.current())
        assert left.exists()
    desk.renewal.renew(desk.leaf.current())
    assert not left.exists()
    assert all(path.exists() for path in others)


def test_an_answer_for_somebody_else_is_refused(desk: Desk) -> None:
    desk.identity = Identity.frontend(POOL, "other", "owner")
    assert refused(desk) == "CERT_IDENTITY"


def test_an_answer_of_another_key_is_refused(desk: Desk) -> None:
    stray = desk.authority.bundle(OWNER, now(), LIFE)

    def answer(request: common_pb2.RenewRequest) -> common_pb2.RenewReply:
        return common_pb2.RenewReply(leaf_pem=stray.leaf_pem, ca_pem=stray.ca_pem)

    desk.renewal = Renewal(desk.leaf, answer, desk.wall)
    assert refused(desk) == "CERT_KEY_MISMATCH"


def test_an_answer_that_changes_the_whole_trust_at_once_is_refused(
    desk: Desk, tmp_path: Path
) -> None:
    desk.authority = Authority.create(tmp_path / "other", POOL, now())
    assert refused(desk) == "CERT_UNTRUSTED"


def test_while_the_ca_is_rolled_both_are_trusted_and_either_may_sign(
    desk: Desk, tmp_path: Path
) -> None:
    old, new = desk.authority, Authority.create(tmp_path / "new", POOL, now())
    for signer, trusted in ((old, [old, new]), (new, [old, new]), (new, [new])):
        desk.authority, desk.ca_pem = signer, b"".join(each.ca_pem for each in trusted)
        made = desk.renewal.renew(desk.leaf.current())
        assert made is not None
        assert made.ca_pem == desk.ca_pem


def test_a_leaf_that_has_ended_already_is_refused(desk: Desk) -> None:
    seen = desk.leaf.current()
    desk.passed = timedelta(0)
    desk.renewal = Renewal(desk.leaf, desk.answer, lambda: desk.began + timedelta(days=1))
    with pytest.raises(EaisError) as caught:
        desk.renewal.renew(seen)
    assert caught.value.reason == "CERT_EXPIRED"


def test_who_comes_second_goes_on_with_what_there_is(desk: Desk) -> None:
    with desk.locked():
        assert desk.renewal.renew(desk.leaf.current()) is None
    assert desk.asked == 0


def test_who_comes_later_takes_what_another_process_has_saved(desk: Desk) -> None:
    seen = desk.leaf.current()
    theirs = desk.save()
    assert desk.renewal.renew(seen) == theirs
    assert desk.asked == 0


def test_a_process_that_hangs_amid_a_renewal_is_not_waited_for_to_the_end(desk: Desk) -> None:
    seen = desk.leaf.current()
    desk.passed = timedelta(minutes=50)
    with desk.locked():
        assert desk.renewal.renew(seen) not in (None, seen)


def test_a_file_that_cannot_be_written_is_said(desk: Desk) -> None:
    seen = desk.leaf.current()
    desk.leaf.path.with_name(f".{desk.leaf.path.name}.lock").mkdir()
    with pytest.raises(EaisError) as caught:
        desk.renewal.renew(seen)
    assert caught.value.reason == "STATE_DIR"


def test_a_deadline_is_no_fault_of_the_disk(desk: Desk) -> None:
    desk.errors = [DeadlineExceeded("DEADLINE_EXCEEDED", "too slow")]
    assert refused(desk) == "DEADLINE_EXCEEDED"


def test_the_keeper_renews_past_half_and_says_that_it_did(desk: Desk) -> None:
    keeper = desk.keeper()
    desk.later(minutes=29)
    assert desk.asked == 0
    desk.later(minutes=12)
    assert (desk.asked, len(desk.changes), keeper.changes) == (1, 1, 1)
    desk.later(hours=4)
    assert desk.renewal.renewals == keeper.changes
    assert 6 <= keeper.changes <= 9


def test_the_keeper_takes_what_another_process_renewed(desk: Desk) -> None:
    keeper = desk.keeper()
    desk.later(minutes=10)
    theirs = desk.save()
    desk.later(minutes=2)
    assert desk.changes == [theirs]
    assert (desk.asked, keeper.changes) == (0, 1)


def test_the_keeper_tries_again_and_says_nothing_while_much_is_left(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.errors = [make_error("POOL_UNREACHABLE", "no answer")] * 3
    desk.keeper()
    desk.later(minutes=41)
    assert len(desk.changes) == 1
    assert not caplog.records


def test_the_keeper_says_it_before_the_leaf_ends_and_when_it_has(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    desk.errors = [make_error("POOL_UNREACHABLE", "no answer")] * 10_000
    keeper = desk.keeper()
    desk.later(minutes=59)
    (warning,) = caplog.messages
    assert "ends at" in warning
    assert "POOL_UNREACHABLE: no answer" in warning
    desk.later(minutes=30)
    assert [("ended" in message) for message in caplog.messages] == [False, True]
    keeper.close()


def test_a_file_that_will_not_do_is_said_once_and_looked_at_again(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    desk.keeper()
    desk.leaf.path.write_bytes(b"nothing")
    desk.later(minutes=5)
    (warning,) = caplog.messages
    assert "CERT_UNREADABLE" in warning
    theirs = desk.save()
    desk.later(minutes=2)
    assert desk.changes == [theirs]


def test_a_closed_keeper_does_nothing_more(desk: Desk) -> None:
    desk.keeper().close()
    desk.later(minutes=59)
    assert desk.asked == 0


def test_a_command_renews_only_when_it_is_time(desk: Desk) -> None:
    freshen(desk.renewal)
    assert desk.asked == 0
    desk.passed = timedelta(minutes=45)
    freshen(desk.renewal)
    freshen(desk.renewal)
    assert desk.asked == 1


def test_a_command_goes_on_with_what_it_has_and_warns_late(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    desk.errors = [make_error("POOL_UNREACHABLE", "no answer")] * 2
    desk.passed = timedelta(minutes=45)
    freshen(desk.renewal)
    assert not caplog.records
    desk.passed = timedelta(minutes=55)
    freshen(desk.renewal)
    assert "can't be renewed" in caplog.text


def test_a_command_asks_for_nothing_with_an_ended_leaf_or_none(desk: Desk) -> None:
    desk.passed = timedelta(minutes=61)
    freshen(desk.renewal)
    desk.leaf.path.unlink()
    freshen(desk.renewal)
    assert desk.asked == 0


def test_a_look_that_failed_otherwise_is_not_the_last(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.keeper()
    with monkeypatch.context() as without:
        without.setattr(LeafFile, "current", _without_descriptors)
        with pytest.raises(OSError, match="files"):
            desk.later(minutes=1)
    desk.later(minutes=41)
    assert desk.asked == 1


def _without_descriptors(leaf: LeafFile) -> Bundle:
    raise OSError(errno.EMFILE, "too many open files")


@pytest.fixture
def wire() -> FakeWire:
    return FakeWire(OrtHost(), fake_instance())


def attached(desk: Desk, wire: FakeWire) -> tuple[FrontEnd, eais.InferenceSession]:
    """A front-end that keeps its identity fresh, and a session that was called."""
    tools = desk.fakes.tools()
    keeper = Keeper(desk.renewal, tools.alarm, tools.clock, lambda: 1.0)
    frontend = FrontEnd(wire, ClientConfig.for_test(), tools, keeper)
    session = eais.InferenceSession(own_models()["mul_1"], frontend=frontend)
    session.run(None, FEED)
    return frontend, session


def test_a_renewal_moves_watch_and_streams_and_their_sessions(desk: Desk, wire: FakeWire) -> None:
    frontend, session = attached(desk, wire)
    (first,) = wire.streams
    desk.later(minutes=41)
    assert wire.watches[0].replaced == 1
    _, second = wire.streams
    assert (first.open, second.open) == (False, True)
    assert second.held == first.held
    session.run(None, FEED)
    assert (len(first.sent), len(second.sent)) == (1, 1)
    assert frontend.turnover() == Turnover(replaced=2, retries=0)
    frontend.close()


def test_a_call_under_way_is_answered_where_it_was_sent(desk: Desk, wire: FakeWire) -> None:
    frontend, session = attached(desk, wire)
    wire.holding = True
    answers: list[object] = []
    session.run_async(None, FEED, lambda results, _data, error: answers.append(error), None)
    desk.later(minutes=41)
    first, second = wire.streams
    assert [each.open for each in wire.streams] == [True, True]
    first.release_all()
    assert [each.open for each in wire.streams] == [False, True]
    assert (len(first.sent), len(second.sent)) == (2, 0)
    frontend.close()


def test_a_renewal_that_comes_with_the_end_opens_nothing(desk: Desk, wire: FakeWire) -> None:
    frontend, _session = attached(desk, wire)
    attachment = frontend.attachment(wire.instances["ei-1"])
    frontend.close()
    attachment.renewed()
    assert not any(each.open for each in wire.streams)


def test_without_anything_attached_nothing_is_renewed_and_after_the_end_neither(
    desk: Desk, wire: FakeWire
) -> None:
    tools = desk.fakes.tools()
    frontend = FrontEnd(
        wire, ClientConfig.for_test(), tools, Keeper(desk.renewal, tools.alarm, tools.clock)
    )
    desk.later(minutes=50)
    frontend.close()
    desk.later(minutes=9)
    assert desk.asked == 0
