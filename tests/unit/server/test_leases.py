from __future__ import annotations

import logging
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eais import tls
from eais.errors import EaisError
from eais.identity import Identity
from eais.instance import check_instance_name
from eais.instance_policy import InstancePolicy, RingPolicy
from eais.net.traffic import Traffic
from eais.sealed import Damaged, seal, unseal
from eais_pool.authority import Authority
from eais_server.count_page import CountPage, ModelCounts, Tally
from eais_server.listener.lease import Lease, Share
from eais_server.listener.leases import COUNTS_FOLDER, ListenerFiles
from eais_server.listener.place import Place, load_place, save_place
from eais_server.listener.sessions import KeptSession
from eais_server.listener.usage import Counters, UsageRecord

NOW = datetime.now(UTC)
SHARES = (Share(1, "cpu0", 1000, 4001, 2), Share(2, "cpu0", 2000))
LEASE = Lease("ei-1", "acme", 7, SHARES, "127.64.0.16", "loopback", 600, "exact", True)


@pytest.fixture(scope="module")
def leaf(tmp_path_factory: pytest.TempPathFactory) -> tls.Bundle:
    authority = Authority.create(tmp_path_factory.mktemp("pool") / "ca", "pool", NOW)
    return authority.bundle(Identity.worker("pool", "ei-1", 1), NOW)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "listener"


def saved(root: Path, leaf: tls.Bundle) -> ListenerFiles:
    files = ListenerFiles(root)
    for share in LEASE.shares:
        files.save_leaf("ei-1", share.n, leaf)
    files.save_lease(LEASE)
    return files


def test_the_policy_of_a_lease_is_kept_and_older_leases_have_none(
    root: Path, leaf: tls.Bundle
) -> None:
    files = saved(root, leaf)
    held = replace(LEASE, policy=InstancePolicy(RingPolicy.ON, 50_000))
    files.save_lease(held)
    assert [lease for lease, _ in files.leases()] == [held]
    path = root / "leases" / "ei-1.json"
    record = unseal(path.read_bytes())
    del record["policy"]
    path.write_bytes(seal(record))
    assert [lease for lease, _ in files.leases()] == [LEASE]


# Sealed records


def test_every_turned_bit_and_every_cut_is_noticed() -> None:
    data = seal({"instance": "ei-1", "epoch": 7})
    assert unseal(data) == {"instance": "ei-1", "epoch": 7}
    for offset in range(len(data)):
        with pytest.raises(Damaged):
            unseal(data[:offset])
        for bit in range(8):
            turned = bytearray(data)
            turned[offset] ^= 1 << bit
            with pytest.raises(Damaged):
                unseal(bytes(turned))


def test_what_follows_a_record_is_damage() -> None:
    with pytest.raises(Damaged):
        unseal(seal({}) + b"\n")


# Leases


def test_a_lease_comes_back_with_its_keys(root: Path, leaf: tls.Bundle) -> None:
    saved(root, leaf)
    assert list(ListenerFiles(root).leases()) == [(LEASE, {1: leaf, 2: leaf})]


def test_a_lease_that_was_removed_is_gone_with_its_keys(root: Path, leaf: tls.Bundle) -> None:
    files = saved(root, leaf)
    files.save_usage("ei-1", UsageRecord(7, Counters(1)))
    files.remove_lease("ei-1")
    files.remove_lease("ei-1")
    assert list(files.leases()) == []
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_keys_and_counters_without_a_lease_go_at_the_next_start(
    root: Path, leaf: tls.Bundle
) -> None:
    """What a death leaves behind amid a grant or a release."""
    files = saved(root, leaf)
    files.save_usage("ei-1", UsageRecord(7, Counters(1)))
    for gone in ("ei-2", "ei-11"):
        files.save_leaf(gone, 1, leaf)
        files.save_usage(gone, UsageRecord(7, Counters(1)))
    again = ListenerFiles(root)
    assert sorted(path.name for path in root.rglob("*.*")) == [
        *("ei-1.1.pem", "ei-1.2.pem", "ei-1.json", "ei-1.json")
    ]
    assert again.usage("ei-1") == UsageRecord(7, Counters(1))


def test_everything_is_its_owners_alone(root: Path, leaf: tls.Bundle) -> None:
    files = saved(root, leaf)
    files.save_usage("ei-1", UsageRecord(7, Counters()))
    modes = {path.stat().st_mode & 0o777 for path in root.rglob("*") if path.is_file()}
    assert modes == {0o600}


def test_a_damaged_lease_is_lost_said_and_put_aside(
    root: Path, leaf: tls.Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    saved(root, leaf)
    path = root / "leases" / "ei-1.json"
    whole = path.read_bytes()
    for offset in range(len(whole)):
        turned = bytearray(whole)
        turned[offset] ^= 1 << (offset % 8)
        path.write_bytes(turned)
        with caplog.at_level(logging.ERROR):
            assert list(ListenerFiles(root).leases()) == []
        assert "damaged" in caplog.text
        caplog.clear()
        assert not path.exists()
        aside = path.with_name("ei-1.json.damaged")
        assert aside.read_bytes() == bytes(turned)
        path.write_bytes(whole)
        path.chmod(0o600)


@pytest.mark.parametrize("end", [0, 1, 64, 65, 66, 100])
def test_a_torn_lease_is_lost(root: Path, leaf: tls.Bundle, end: int) -> None:
    saved(root, leaf)
    path = root / "leases" / "ei-1.json"
    path.write_bytes(path.read_bytes()[:end])
    assert list(ListenerFiles(root).leases()) == []


@pytest.mark.parametrize("harm", ["missing", "torn", "readable"])
def test_a_lease_without_a_whole_key_is_lost(root: Path, leaf: tls.Bundle, harm: str) -> None:
    saved(root, leaf)
    key = root / "leases" / "ei-1.2.pem"
    if harm == "missing":
        key.unlink()
    elif harm == "torn":
        key.write_bytes(key.read_bytes()[:200])
    else:
        key.chmod(0o644)
    assert list(ListenerFiles(root).leases()) == []


def test_a_write_that_never_ended_leaves_nothing(root: Path, leaf: tls.Bundle) -> None:
    saved(root, leaf)
    (root / "leases" / ".ei-2.json.abc.part").write_bytes(b"half")
    assert [lease for lease, _ in ListenerFiles(root).leases()] == [LEASE]
    assert not list((root / "leases").glob(".*"))


def test_damaged_ones_dont_harm_the_others(root: Path, leaf: tls.Bundle) -> None:
    files = saved(root, leaf)
    path = root / "leases" / "ei-0.json"
    path.write_bytes(b"not a lease")
    path.chmod(0o600)
    assert [lease for lease, _ in files.leases()] == [LEASE]


@pytest.mark.parametrize("name", ["", "ei-", "../x", "ei-../x", "ei-1/2", "EI-1", "ei-" + "a" * 62])
def test_a_name_that_is_no_instances_names_no_file(root: Path, name: str) -> None:
    with pytest.raises(EaisError, match="NAME"):
        check_instance_name(name)
    with pytest.raises(EaisError, match="NAME"):
        ListenerFiles(root).remove_lease(name)


# Sessions, counters, place


def test_sessions_come_back(root: Path) -> None:
    sessions = [
        KeptSession("a" * 32, "acme", b"\0spec\xff", b"sign"),
        KeptSession("b", "t", b"", b""),
    ]
    files = ListenerFiles(root)
    files.save_specs("ei-1", sessions)
    assert list(ListenerFiles(root).specs()) == [("ei-1", sessions)]
    files.save_specs("ei-1", [])
    files.save_specs("ei-1", [])
    assert list(files.specs()) == []


def test_damaged_sessions_are_lost(root: Path) -> None:
    files = ListenerFiles(root)
    files.save_specs("ei-1", [KeptSession("a", "acme", b"spec", b"")])
    path = root / "specs" / "ei-1.json"
    path.write_bytes(path.read_bytes().replace(b"acme", b"evil"))
    assert list(files.specs()) == []


def test_counters_come_back_and_damaged_ones_are_lost(root: Path) -> None:
    files = ListenerFiles(root)
    assert files.usage("ei-1") is None
    record = UsageRecord(7, Counters(1, 2, 3, 4))
    files.save_usage("ei-1", record)
    assert files.usage("ei-1") == record
    path = root / "usage" / "ei-1.json"
    path.write_bytes(path.read_bytes()[:-1])
    assert files.usage("ei-1") is None


def test_the_place_is_kept_for_its_address(tmp_path: Path) -> None:
    path = tmp_path / "place.json"
    assert load_place(path, "127.64.0.2") == Place("127.64.0.2")
    place = Place("127.64.0.2", 4001, 4002)
    save_place(path, place)
    assert load_place(path, "127.64.0.2") == load_place(path, "") == place
    assert load_place(path, "127.64.0.3") == Place("127.64.0.3")


def test_a_damaged_place_is_chosen_anew(tmp_path: Path) -> None:
    path = tmp_path / "place.json"
    save_place(path, Place("127.64.0.2", 4001, 4002))
    path.write_bytes(path.read_bytes()[:-2])
    assert load_place(path, "127.64.0.2") == Place("127.64.0.2")


def test_what_dead_workers_counted_is_found_and_goes_with_the_lease(
    root: Path, leaf: tls.Bundle
) -> None:
    files = saved(root, leaf)
    for instance, epoch in (("ei-1", 7), ("ei-1", 6), ("ei-9", 7)):
        page = CountPage(root / COUNTS_FOLDER)
        page.assign(instance, epoch)
        Tally.from_fd(os.dup(page.descriptor)).answered("s", 1, 2, 3)
        page.close()
    (found,) = files.pages("ei-1", 7).items()
    assert found[1] == Counters(1, 1, 2, 3)
    record = UsageRecord(7, Counters(1, 1, 2, 3), {found[0]: found[1]})
    files.save_usage("ei-1", record)
    again = ListenerFiles(root)
    assert again.usage("ei-1") == record
    names = [path.name.partition(".")[0] for path in (root / COUNTS_FOLDER).iterdir()]
    assert names == ["ei-1", "ei-1"]
    again.remove_pages([found[0], found[0]])
    assert again.pages("ei-1", 7) == {}
    again.remove_lease("ei-1")
    assert list((root / COUNTS_FOLDER).iterdir()) == []


def test_last_counters_stay_when_the_lease_is_gone_until_the_pool_has_them(
    root: Path, leaf: tls.Bundle
) -> None:
    files = saved(root, leaf)
    last = UsageRecord(7, Counters(5, 1, 2, 3, models={"ab" * 32: ModelCounts("ab" * 32, 5)}))
    files.save_final("ei-1", last)
    files.remove_lease("ei-1")
    again = ListenerFiles(root)
    assert list(again.finals()) == [("ei-1", last)]
    again.remove_final("ei-1", 6)
    assert list(again.finals()) == [("ei-1", last)]
    again.remove_final("ei-1", 7)
    again.remove_final("ei-1", 7)
    assert list(ListenerFiles(root).finals()) == []


def test_what_a_vnic_has_carried_is_kept(root: Path, leaf: tls.Bundle) -> None:
    files = saved(root, leaf)
    record = UsageRecord(7, Counters(1), vnic=Traffic(1, 2, 3, 4), vnic_seen=Traffic(5, 6, 7, 8, 9))
    files.save_usage("ei-1", record)
    assert ListenerFiles(root).usage("ei-1") == record
    files.save_final("ei-1", record)
    (last,) = ListenerFiles(root).finals()
    assert last == ("ei-1", UsageRecord(7, Counters(1), vnic=Traffic(1, 2, 3, 4)))
