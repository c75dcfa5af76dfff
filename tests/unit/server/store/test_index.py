from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from eais.errors import EaisError
from eais_server.store.index import FileState, Index, Key

A, B, C, D = (Key("t", name) for name in "abcd")


def index(
    *stored: tuple[Key, int], limit: int = 100, uploads: int = 8, own: int | None = None
) -> Index:
    made = Index(limit, uploads, own)
    for key, size in stored:
        made.add(key, FileState.STORED, size, 0.0)
    return made


def refusal(made: Index, key: Key, size: int) -> EaisError:
    before = repr(vars(made))
    with pytest.raises(EaisError) as caught:
        made.start(key, size, 0.0)
    assert repr(vars(made)) == before, "a refusal changes nothing"
    return caught.value


def test_room_is_made_by_last_use() -> None:
    made = index((A, 40), (B, 40), (C, 20))
    made.touch(A, 1.0)
    assert made.start(D, 30, 2.0) == [B]
    assert made.used_bytes == 90


def test_nothing_goes_while_there_is_room() -> None:
    made = index((A, 40))
    assert made.start(D, 60, 0.0) == []


def test_what_a_session_pins_stays() -> None:
    made = index((A, 50), (B, 50))
    made.pin("s", [A])
    assert made.start(C, 10, 0.0) == [B]
    error = refusal(made, D, 60)
    assert (error.reason, error.metadata) == ("STORE_FULL", {"limit": "100", "got": "60"})
    made.unpin("s")
    made.unpin("s")
    assert made.start(D, 60, 0.0) == [A]


def test_a_file_of_two_sessions_stays_for_the_second() -> None:
    made = index((A, 100))
    made.pin("s", [A])
    made.pin("t", [A])
    made.unpin("s")
    assert refusal(made, B, 1).reason == "STORE_FULL"


def test_pinning_again_replaces() -> None:
    made = index((A, 50), (B, 50))
    made.pin("s", [A])
    made.pin("s", [B])
    assert made.start(C, 50, 0.0) == [A]


def test_a_file_being_sent_stays_and_is_busy() -> None:
    made = index()
    made.start(A, 100, 0.0)
    assert refusal(made, B, 1).reason == "STORE_FULL"
    assert refusal(made, A, 100).reason == "BUSY"


def test_a_tenant_has_so_many_uploads_at_a_time() -> None:
    made = index(uploads=1)
    made.start(A, 1, 0.0)
    error = refusal(made, B, 1)
    assert (error.reason, error.metadata) == (
        "BUSY",
        {"quota": "uploads", "used": "1", "asked": "1", "limit": "1", "push_back_ms": "200"},
    )
    made.start(Key("other", "b"), 1, 0.0)
    made.store(A, 0.0)
    made.start(B, 1, 0.0)
    assert made.uploads() == 2


def test_a_tenants_own_old_files_make_room_for_its_new_ones() -> None:
    other = Key("other", "a")
    made = index((other, 10), (A, 20), (B, 20), own=50)
    assert made.start(C, 25, 1.0) == [A]
    assert made.get(other)


def test_a_tenant_with_all_in_use_is_told_its_quota() -> None:
    made = index((A, 20), (B, 30), own=50)
    made.pin("s", [A])
    error = refusal(made, C, 31)
    assert (error.reason, error.metadata) == (
        "QUOTA",
        {"quota": "store_bytes", "used": "20", "asked": "31", "limit": "50"},
    )
    assert made.start(C, 30, 1.0) == [B]
    assert made.start(Key("other", "c"), 50, 1.0) == []


def test_a_tenants_quota_and_the_stores_limit_hold_together() -> None:
    x, y = Key("other", "x"), Key("other", "y")
    made = index((x, 40), (A, 20), (y, 20), limit=80, own=60)
    assert made.start(C, 45, 1.0) == [A, x]
    assert made.used_bytes == 65


def test_a_lowered_quota_takes_nothing_away_that_is_in_use() -> None:
    made = index((A, 60), own=50)
    made.pin("s", [A])
    assert refusal(made, B, 1).metadata["used"] == "60"
    assert made.get(A)


def test_a_resumed_upload_reserves_only_the_rest() -> None:
    made = index((B, 20))
    made.add(A, FileState.PARKED, 70, 0.0)
    assert made.start(A, 80, 0.0) == []
    assert made.used_bytes == 100


def test_a_parked_part_makes_room_for_others() -> None:
    made = index()
    made.start(A, 90, 0.0)
    made.park(A, 50)
    assert made.used_bytes == 50
    assert made.start(B, 60, 0.0) == [A]


def test_stale_are_parked_and_sending_ones_untouched_since() -> None:
    made = index((D, 1))
    made.start(A, 1, 10.0)
    made.start(B, 1, 10.0)
    made.touch(B, 11.0)
    made.park(B, 1)
    made.start(C, 1, 12.0)
    assert made.stale(9.0) == []
    assert made.stale(11.0) == [A, B]
    made.touch(A, 13.0)
    assert made.stale(12.0) == [B, C]


class Accounts(RuleBasedStateMachine):
    """Whatever happens, the sum is true and within the limit."""

    keys = st.sampled_from([Key(folder, name) for folder in "xy" for name in "abc"])

    def __init__(self) -> None:
        super().__init__()
        self.index = Index(100, 2, 80)
        self.sizes: dict[Key, int] = {}

    @rule(key=keys, size=st.integers(0, 110))
    def start(self, key: Key, size: int) -> None:
        entry = self.index.get(key)
        if entry and entry.state is FileState.STORED:
            return
        try:
            victims = self.index.start(key, size, 0.0)
        except EaisError:
            return
        assert key not in victims
        for victim in victims:
            del self.sizes[victim]
        self.sizes[key] = size

    @rule(key=keys, part=st.floats(0, 1))
    def park(self, key: Key, part: float) -> None:
        entry = self.index.get(key)
        if entry and entry.state is FileState.UPLOADING:
            self.sizes[key] = int(entry.counted * part)
            self.index.park(key, self.sizes[key])

    @rule(key=keys)
    def store(self, key: Key) -> None:
        entry = self.index.get(key)
        if entry and entry.state is FileState.UPLOADING:
            self.index.store(key, 0.0)

    @rule(key=keys)
    def drop(self, key: Key) -> None:
        self.index.drop(key)
        self.sizes.pop(key, None)

    @rule(keys=st.lists(keys), session=st.sampled_from("st"))
    def pin(self, keys: list[Key], session: str) -> None:
        self.index.pin(session, keys)

    @invariant()
    def adds_up(self) -> None:
        assert self.index.used_bytes == sum(self.sizes.values()) <= 100
        assert len(self.index) == len(self.sizes)
        for folder in "xy":
            own = (size for key, size in self.sizes.items() if key.folder == folder)
            assert sum(own) <= 80


TestAccounts = Accounts.TestCase
TestAccounts.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
