"""The pool's policies on boards that they keep: as exact as if made anew, and with a reason."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from eais.device_type import DeviceType
from eais.share_units import unit_for, units_left
from eais_pool.policy import BEST_FIT, GRADIENT, POLICIES, Ask, DeviceView, HostView, Placement
from eais_pool.policy.asked import FIRST, MOST, SIZES_MOST, Asked, total
from eais_pool.policy.placement.boards import cores_beside
from eais_pool.policy.placement.live import policy_of

TYPES = ("cpu.1-8", "cpu.1-2", "cpu.1", "cpu.3", "gpu.1-8", "gpu.3-4", "gpu.1", "gpu.2", "auto")


def device(kind: str, n: int, units: int = 1, model: str = "", grain: int = 125) -> DeviceView:
    whole = units * 1000
    limit = whole if kind == "cpu" else 1000
    return DeviceView(f"{kind}{n}", kind, whole, grain, limit, whole, model)


def host(name: str, *devices: DeviceView) -> HostView:
    return HostView(name, True, 2, frozenset(), devices)


def after(hosts: list[HostView], tenant: str, found: Placement) -> list[HostView]:
    """The hosts once its shares are taken."""
    return [_taken(each, tenant, found) if each.host == found.host else each for each in hosts]


def _taken(each: HostView, tenant: str, found: Placement) -> HostView:
    devices = list(each.devices)
    for share in found.shares:
        n = next(n for n, old in enumerate(devices) if old.id == share.device)
        old = devices[n]
        taken = (*old.taken, (share.milli, share.unit))
        devices[n] = replace(old, free_milli=old.free_milli - share.milli, taken=taken)
    return replace(each, devices=tuple(devices), tenants=each.tenants | {tenant})


def ask(text: str, **more: object) -> Ask:
    return replace(Ask("acme", DeviceType.parse(text)), **more)  # type: ignore[arg-type]


def fits(each: HostView, wanted: DeviceType) -> bool:
    """By the devices' own word, one at a time."""
    for kind in {view.kind for view in each.devices}:
        if wanted.kind not in (None, kind):
            continue
        one = kind == "cpu" or wanted.milli < 1000
        count, milli = (1, wanted.milli) if one else (wanted.milli // 1000, 1000)
        able = [
            view
            for view in each.devices
            if view.kind == kind
            and milli % view.granularity_milli == 0
            and milli <= view.share_limit_milli
        ]
        if sum(view.has_room(milli) for view in able) >= count:
            return True
    return False


def shares_fit(each: HostView, found: Placement) -> bool:
    by_id = {view.id: view for view in each.devices}
    for share in found.shares:
        view = by_id[share.device]
        pieces = [milli for milli, unit in view.taken if unit == share.unit and milli < 1000]
        if share.milli < 1000 and sum(pieces) + share.milli > 1000:
            return False
        if unit_for(share.milli, view.capacity_milli, view.taken) is None:
            return False
        taken = (*view.taken, (share.milli, share.unit))
        by_id[share.device] = replace(view, taken=taken)
    return True


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("seed", range(6))
def test_what_is_kept_between_questions_changes_no_answer(name: str, seed: int) -> None:
    rng = random.Random(seed)
    hosts = [
        host(
            f"h{n}",
            device("cpu", 0, rng.choice((2, 4, 8))),
            *(
                device("gpu", g, model=rng.choice("AB"), grain=rng.choice((125, 500)))
                for g in range(rng.randrange(4))
            ),
        )
        for n in range(5)
    ]
    policy, asked = policy_of(name), Asked()
    emptied = {each.host: each for each in hosts}
    for _ in range(60):
        wanted = ask(rng.choice(TYPES), learned=asked.learned)
        found, anew = policy.place(wanted, hosts), policy_of(name).place(wanted, hosts)
        assert found == anew
        assert isinstance(found, Placement) == any(fits(each, wanted.type) for each in hosts)
        if isinstance(found, Placement):
            assert shares_fit(next(e for e in hosts if e.host == found.host), found)
            hosts = after(hosts, "acme", found)
            asked = asked.more("gpu", sum(share.milli for share in found.shares))
        if rng.random() < 0.2:  # everything of a host ends, or it is cordoned for a while
            n = rng.randrange(len(hosts))
            hosts[n] = emptied[hosts[n].host]
            hosts[n] = replace(hosts[n], open=rng.random() < 0.7)
            if not hosts[n].open:
                assert not isinstance(policy.place(ask("cpu.8"), [hosts[n]]), Placement)
                hosts[n] = replace(hosts[n], open=True)


def test_the_gradient_spares_what_is_asked_for_most_and_best_fit_does_not() -> None:
    """Halves are all that is asked for: an eighth goes where no half fits any more."""
    busy = replace(device("gpu", 0), taken=((375, 0),), free_milli=625)
    rest = replace(device("gpu", 0), taken=((250, 0),), free_milli=750)
    # h1 has room for a half, and then none; h2, for a half, and an eighth more besides it.
    hosts = [host("h1", busy), host("h2", rest)]
    halves = (("gpu", 500, 1000),)
    best = policy_of(BEST_FIT).place(ask("gpu.1-4", learned=halves), hosts)
    down = policy_of(GRADIENT).place(ask("gpu.1-4", learned=halves), hosts)
    assert isinstance(best, Placement)
    assert isinstance(down, Placement)
    assert (best.host, down.host) == ("h1", "h2")
    assert best.why.endswith("of 2 with room, least is left there")
    assert down.why.endswith("of 2 with room, least of what is typically asked for is lost there")


def test_cores_are_taken_where_no_accelerator_needs_them() -> None:
    """Both have as few cores left; beside the accelerators of one, they are for its workers."""
    hosts = [host("h1", device("cpu", 0, 2), device("gpu", 0)), host("h2", device("cpu", 0, 2))]
    found = policy_of(GRADIENT).place(ask("cpu.2"), hosts)
    assert isinstance(found, Placement)
    assert found.host == "h2"
    hosts = after(hosts, "acme", found)
    found = policy_of(GRADIENT).place(ask("cpu.2"), hosts)
    assert isinstance(found, Placement)
    assert found.host == "h1"  # nobody is refused for that
    taken = after(hosts, "acme", found)[0]
    assert (cores_beside(hosts[0]), cores_beside(taken)) == (2000, 0)


def test_just_the_devices_that_will_do_are_taken() -> None:
    hosts = [host(f"h{n}", *(device("gpu", g) for g in range(3))) for n in range(2)]
    only = frozenset({("h1", "gpu1"), ("h1", "gpu2"), ("h0", "gpu0")})
    for policy in map(policy_of, POLICIES):
        found = policy.place(ask("gpu.2", only=only), hosts)
        assert isinstance(found, Placement)
        assert (found.host, [share.device for share in found.shares]) == ("h1", ["gpu1", "gpu2"])
        refused = policy.place(ask("gpu.3", only=only), hosts)
        assert not isinstance(refused, Placement)
        assert refused.message == "gpu.3: no back-end has more than 2 to lend"


def test_kinds_that_it_must_not_have() -> None:
    hosts = [host("h1", device("gpu", 0), device("cpu", 0, 4))]
    found = policy_of(GRADIENT).place(ask("auto", without=frozenset({"gpu"})), hosts)
    assert isinstance(found, Placement)
    assert [share.device for share in found.shares] == ["cpu0"]


def test_units_left_are_what_shares_may_be_had_of() -> None:
    assert units_left(4000, [(500, 1), (1000, 0)]) == [(500, 1), (1000, 0), (1000, 2)]
    assert units_left(1000, []) == [(1000, 0)]
    assert units_left(500, []) == []


def test_starts_are_learned_in_steps_and_what_was_long_ago_fades() -> None:
    asked = Asked()
    for _ in range(FIRST - 1):
        asked = asked.more("gpu", 500)
    assert (asked.learned, total(asked.counts)) == ((), FIRST - 1)
    asked = asked.more("gpu", 500)
    assert asked.learned == asked.counts == (("gpu", 500, FIRST),)
    assert asked.more("gpu", 125).learned == asked.learned
    for _ in range(2 * MOST):
        asked = asked.more("cpu", 1000)
    assert {size: n for _, size, n in asked.counts}.get(500, 0) <= FIRST // 4
    assert total(asked.counts) < MOST
    for size in range(2 * SIZES_MOST):
        asked = asked.more("gpu", size)
    assert len(asked.counts) == SIZES_MOST
    assert ("cpu", 1000) in [(kind, size) for kind, size, _ in asked.counts]
