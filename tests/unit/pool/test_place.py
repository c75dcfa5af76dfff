from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eais import tls
from eais.errors import ConfigError, EaisError, RemoteError
from eais.identity import Identity, Role
from eais_pool.addresses import CLAIM_PORT, claim, networks
from eais_pool.authority import Authority
from eais_pool.brain.address_plan import AddressPlan
from eais_pool.brain.index import Index
from eais_pool.brain.net_rules import NetRules
from eais_pool.brain.quotas import Quotas
from eais_pool.config import ManagerConfig
from eais_pool.owner import Keeper, embedded_identities
from eais_pool.place import Place, load_place, lock, new_pool_name, save_place
from eais_pool.policy.prices import Prices
from eais_pool.testing import in_process_manager

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


# Addresses


def test_an_instances_address_is_the_lowest_free_one() -> None:
    plan = AddressPlan("127.64.16.0/20")
    assert plan.host(1) == "127.64.16.1"
    index = Index()
    assert plan.first_free(index.first_free) == "127.64.16.16"
    index.hold("127.64.16.16")
    index.hold("127.64.16.18")
    assert plan.first_free(index.first_free) == "127.64.16.17"
    index.hold("127.64.16.16", -1)
    assert plan.first_free(index.first_free) == "127.64.16.16"


def test_an_address_that_two_hold_is_free_when_both_gave_it_back() -> None:
    plan, index = AddressPlan("127.64.16.0/20"), Index()
    index.hold("127.64.16.16")
    index.hold("127.64.16.16")
    index.hold("127.64.16.16", -1)
    assert plan.first_free(index.first_free) == "127.64.16.17"
    index.hold("127.64.16.16", -1)
    assert plan.first_free(index.first_free) == "127.64.16.16"


def test_addresses_can_run_out() -> None:
    plan, index = AddressPlan("127.64.16.0/27"), Index()
    taken = ""
    for _ in range(15):
        taken = plan.first_free(index.first_free)
        index.hold(taken)
    assert taken == "127.64.16.30"
    with pytest.raises(RemoteError) as error:
        plan.first_free(index.first_free)
    assert error.value.reason == "ADDRESSES_EXHAUSTED"


def test_a_range_may_be_of_several_blocks() -> None:
    index = Index()
    for offset in range(1 << 16):
        index.hold(f"10.0.{offset >> 8}.{offset & 255}")
    assert AddressPlan("10.0.0.0/15").first_free(index.first_free) == "10.1.0.0"


def test_a_claimed_range_is_nobody_elses() -> None:
    first, second = networks()[:2]
    one = claim(None, [first, second])
    two = claim(None, [first, second])
    try:
        assert (one.plan.network, two.plan.network) == (first, second)
        for kept, candidates in ((first, None), (None, [first, second])):
            with pytest.raises(ConfigError) as error:
                claim(kept, candidates)
            assert error.value.reason == "LOOPBACK_RANGE"
    finally:
        one.close()
        two.close()
    again = claim(first)
    again.close()


def test_there_are_a_thousand_ranges_in_random_order() -> None:
    found = networks()
    assert len(set(found)) == 1024
    assert found != networks()
    assert set(found) >= {"127.64.0.0/20", "127.127.240.0/20"}


# The place


def test_a_pools_name_is_a_trust_domain() -> None:
    for name in ("demo", "My Pool!", "..", "x" * 200, "-a"):
        made = new_pool_name(Path("/somewhere") / name)
        assert Identity.manager(made).pool == made
    assert new_pool_name(Path("demo")).startswith("demo-")
    assert new_pool_name(Path("demo")) != new_pool_name(Path("demo"))


def test_the_place_is_kept(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert load_place(tmp_path) is None
    place = Place("demo-1", "127.64.16.0/20", 4001, 4002)
    save_place(tmp_path, place)
    assert load_place(tmp_path) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"pool": "x", "network": "nonsense"}',
        '{"pool": "UPPER", "network": "127.64.16.0/20"}',
        '{"pool": "x", "network": "127.64.16.0/20", "user_port": 99999}',
        '{"pool": "x", "network": "127.64.16.0/20", "other": 1}',
    ],
)
def test_a_place_that_will_not_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "place.json").write_text(text)
    (tmp_path / "place.json").chmod(0o600)
    with pytest.raises(ConfigError) as error:
        load_place(tmp_path)
    assert error.value.reason == "STATE_DIR"


def test_one_manager_a_directory(tmp_path: Path) -> None:
    held = lock(tmp_path)
    with pytest.raises(ConfigError) as error:
        lock(tmp_path)
    assert error.value.reason == "LOCKED"
    os.close(held)
    os.close(lock(tmp_path))


def test_a_taken_port_is_replaced_and_said(tmp_path: Path) -> None:
    async def run() -> None:
        async with in_process_manager(tmp_path) as running:
            user = json.loads(running.ready_file.read_text())["user"]
        with socket.socket() as thief:
            thief.bind((user["address"], user["port"]))
            thief.listen()
            async with in_process_manager(tmp_path) as running:
                now = json.loads(running.ready_file.read_text())["user"]
        assert now["address"] == user["address"]
        assert now["port"] != user["port"]

    asyncio.run(run())


def test_a_range_that_was_taken_meanwhile_is_an_error(tmp_path: Path) -> None:
    async def run() -> None:
        async with in_process_manager(tmp_path) as running:
            base = AddressPlan(running.manager.place.network).host(0)
        with socket.socket() as thief:
            thief.bind((base, CLAIM_PORT))
            with pytest.raises(ConfigError) as error:
                async with in_process_manager(tmp_path):
                    pass
        assert error.value.reason == "LOOPBACK_RANGE"
        async with in_process_manager(tmp_path):
            pass

    asyncio.run(run())


# Identities of this machine


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def own_leaf(tmp_path: Path) -> tls.OwnLeaf:
    return tls.OwnLeaf(tmp_path / "s" / "manager" / "identity.pem")


def keeper(tmp_path: Path, clock: Clock) -> tuple[Keeper, dict[Path, Identity]]:
    authority = Authority.open(tmp_path / "s" / "ca", "demo-1", NOW)
    places = embedded_identities("demo-1", tmp_path / "s", tmp_path / "o")
    return Keeper(authority, places, HOUR, clock, own_leaf(tmp_path)), places


def test_the_embedded_pools_identities(tmp_path: Path) -> None:
    places = keeper(tmp_path, Clock())[1]
    found = {str(path.relative_to(tmp_path)): identity.uri for path, identity in places.items()}
    assert found == {
        "s/manager/identity.pem": "spiffe://demo-1/manager",
        "s/listener/identity.pem": "spiffe://demo-1/listener/local",
        "o/frontend.pem": "spiffe://demo-1/tenant/default/frontend/owner",
        "o/operator.pem": "spiffe://demo-1/operator/owner",
    }


def test_the_manager_renews_its_own_and_steps_in_where_nobody_did(tmp_path: Path) -> None:
    clock = Clock()
    fresh, places = keeper(tmp_path, clock)
    fresh.refresh()
    first = {path: path.read_bytes() for path in places}
    assert {tls.load_bundle(path).identity for path in places} == set(places.values())
    clock.now = NOW + HOUR * 0.49
    fresh.refresh()
    assert {path: path.read_bytes() for path in places} == first
    clock.now = NOW + HOUR * 0.67
    fresh.refresh()
    renewed = [path for path in places if path.read_bytes() != first[path]]
    assert renewed == [tmp_path / "s" / "manager" / "identity.pem"]
    clock.now = NOW + HOUR * 0.81
    fresh.refresh()
    for path in places:
        assert path.read_bytes() != first[path]
        assert tls.load_bundle(path).not_after > clock.now + HOUR * 0.85
    assert 0.81 * HOUR.total_seconds() + fresh.interval_s < HOUR.total_seconds()


def test_what_renewed_itself_is_left_alone(tmp_path: Path) -> None:
    clock = Clock()
    authority = Authority.open(tmp_path / "s" / "ca", "demo-1", NOW)
    places = embedded_identities("demo-1", tmp_path / "s", tmp_path / "o")
    fresh = Keeper(authority, places, HOUR, clock, own_leaf(tmp_path))
    fresh.refresh()
    path = tmp_path / "o" / "frontend.pem"
    tls.save_bundle(path, authority.bundle(places[path], NOW + HOUR * 0.6))
    own = path.read_bytes()
    clock.now = NOW + HOUR * 0.99
    fresh.refresh()
    assert path.read_bytes() == own


def test_a_managers_leaf_that_cannot_be_written_is_used_all_the_same(tmp_path: Path) -> None:
    clock = Clock()
    authority = Authority.open(tmp_path / "s" / "ca", "demo-1", NOW)
    places = embedded_identities("demo-1", tmp_path / "s", None)
    leaf = own_leaf(tmp_path)
    fresh = Keeper(authority, places, HOUR, clock, leaf)
    fresh.refresh()
    first = leaf.current()
    leaf.path.parent.chmod(0o755)  # in which nothing secret is put
    clock.now = NOW + HOUR * 0.7
    fresh.refresh()
    second = leaf.current()
    assert second.not_after > first.not_after
    assert tls.load_bundle(leaf.path) == first
    leaf.path.parent.chmod(0o700)
    fresh.refresh()
    assert leaf.current() == second, "it isn't due again"
    clock.now += HOUR * 0.7
    fresh.refresh()
    assert tls.load_bundle(leaf.path) == leaf.current() != second


def test_an_identity_that_slept_through_a_roll_is_made_anew(tmp_path: Path) -> None:
    clock = Clock()
    authority = Authority.open(tmp_path / "s" / "ca", "demo-1", NOW)
    authority.set_leaf_life(HOUR / 4, NOW)
    places = embedded_identities("demo-1", tmp_path / "s", tmp_path / "o")
    fresh = Keeper(authority, places, HOUR * 24, clock, own_leaf(tmp_path))
    fresh.refresh()
    first = {path: path.read_bytes() for path in places}
    authority.begin_roll(clock.now)
    fresh.refresh()
    changed = [path.parent.name for path in places if path.read_bytes() != first[path]]
    assert changed == ["manager"], "the old one signs: others have time"
    clock.now += HOUR / 4
    assert authority.advance(clock.now)
    fresh.refresh()
    assert all(tls.load_bundle(path).ca_pem == authority.ca_pem for path in places)
    assert all(path.read_bytes() != first[path] for path in places)


@pytest.mark.parametrize("how", ["gone", "garbage", "open", "other", "future"])
def test_an_identity_that_will_not_do_is_made_anew(tmp_path: Path, how: str) -> None:
    clock = Clock()
    fresh, places = keeper(tmp_path, clock)
    fresh.refresh()
    path = tmp_path / "o" / "frontend.pem"
    other = Authority.create(tmp_path / "other", "demo-1", NOW)
    match how:
        case "gone":
            path.unlink()
        case "garbage":
            path.write_bytes(b"x")
        case "open":
            path.chmod(0o644)
        case "other":
            tls.save_bundle(path, other.bundle(places[path], NOW))
        case _:
            clock.now = NOW - HOUR
    fresh.refresh()
    bundle = tls.load_bundle(path)
    tls.check_validity(bundle, clock.now)
    assert bundle.identity.role is Role.FRONTEND
    assert bundle.ca_pem != other.ca_pem


def test_a_refresh_that_fails_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    fresh, places = keeper(tmp_path, clock)
    blocked = tmp_path / "o"
    blocked.write_bytes(b"in the way")
    fresh.refresh_or_log()
    assert "aren't fresh" in caplog.text
    blocked.unlink()
    fresh.refresh_or_log()
    assert all(path.exists() for path in places)


# Settings and the process


@pytest.mark.parametrize(
    "bad",
    [
        {"grant_timeout_s": 0.0},
        {"tick_s": -1.0},
        {"run_timeout_s": 0},
        {"revoke_grace_s": -1.0},
        {"answers_kept_h": 23.0},
        {"leaf_life_h": 25.0},
        {"leaf_life_h": 0.5},
        {"journal_rows": 0},
        {"ratio_late_target": 0.0},
        {"ratio_late_target": 0.51},
        {"ratio_late_target": float("nan")},
        {"grant_timeout_s": float("nan")},
        {"revoke_grace_s": 1e30},
        {"run_timeout_s": 1 << 33},
    ],
)
def test_settings_that_will_not_do(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        ManagerConfig(**bad)  # type: ignore[arg-type]


def test_settings_reach_the_reactor() -> None:
    plan = AddressPlan("127.64.16.0/20")
    settings = ManagerConfig(revoke_grace_s=1.5, grant_timeout_s=9).settings(
        plan, Quotas(), Prices(), NetRules()
    )
    assert (settings.drain_grace_ms, settings.grant_timeout_s) == (1500, 9)
    assert settings.answer_kept_s == 86_400


def test_what_keeps_it_from_serving_is_one_line(tmp_path: Path) -> None:
    state_dir = tmp_path / "file"
    state_dir.write_text("in the way")
    command = [sys.executable, "-m", "eais_pool.manager", "--state-dir", str(state_dir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: STATE_DIR: ")
    assert done.stderr.count(str(state_dir)) == 1
    assert "Traceback" not in done.stderr


def test_a_manager_whose_parent_is_gone_does_not_begin(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "eais_pool.manager", "--state-dir", str(tmp_path / "s")]
    done = subprocess.run([*command, "--parent-pid", str(os.getppid())], timeout=60, check=False)
    assert done.returncode == 0
    assert not (tmp_path / "s").exists()


def test_errors_of_starting_are_ours(tmp_path: Path) -> None:
    async def run() -> None:
        async with in_process_manager(tmp_path):
            with pytest.raises(EaisError) as error:
                async with in_process_manager(tmp_path):
                    pass
            assert error.value.reason == "LOCKED"

    asyncio.run(run())
