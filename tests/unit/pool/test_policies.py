from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eais.device_type import DeviceType
from eais_pool.brain.records import SharePick
from eais_pool.policy import POLICIES, Ask, DeviceView, HostView, Placement, Refusal
from eais_pool.policy.placement.live import policy_of


def cpu(cores: int, free: int | None = None, grain: int = 125) -> DeviceView:
    left = cores * 1000 if free is None else free
    return DeviceView("cpu0", "cpu", cores * 1000, grain, cores * 1000, left)


def gpu(n: int, free: int = 1000, grain: int = 125) -> DeviceView:
    return DeviceView(f"gpu{n}", "gpu", 1000, grain, 1000, free)


def host(*devices: DeviceView, name: str = "h1", **more: object) -> HostView:
    made = HostView(name, True, 2, frozenset(), devices)
    return replace(made, **more)  # type: ignore[arg-type]


def place(text: str, *hosts: HostView, tenant: str = "acme", **more: Any) -> Placement | Refusal:
    """What all policies say, which may differ in words alone: most pools leave no choice."""
    ask = Ask(tenant, DeviceType.parse(text), **more)
    found, *others = [policy_of(name).place(ask, hosts) for name in POLICIES]
    for other in others:
        if isinstance(found, Placement) and isinstance(other, Placement):
            assert (found.host, found.shares) == (other.host, other.shares)
        else:
            assert found == other
    return found


def shares(found: Placement | Refusal) -> list[tuple[str, int]]:
    assert isinstance(found, Placement), found
    assert [share.n for share in found.shares] == list(range(1, len(found.shares) + 1))
    return [(share.device, share.milli) for share in found.shares]


def refusal(found: Placement | Refusal) -> tuple[str, str]:
    assert isinstance(found, Refusal), found
    return found.reason, found.message


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cpu", [("cpu0", 1000)]),
        ("cpu.4", [("cpu0", 4000)]),
        ("cpu.1-8", [("cpu0", 125)]),
        ("gpu", [("gpu0", 1000)]),
        ("gpu.2", [("gpu0", 1000), ("gpu1", 1000)]),
        ("gpu.3-8", [("gpu0", 375)]),
        ("auto", [("cpu0", 1000)]),
    ],
)
def test_what_each_type_gets(text: str, wanted: list[tuple[str, int]]) -> None:
    assert shares(place(text, host(cpu(4), gpu(0), gpu(1)))) == wanted


def test_auto_takes_the_first_kind_with_room_in_the_hosts_own_order() -> None:
    assert shares(place("auto", host(gpu(0), cpu(4)))) == [("gpu0", 1000)]
    assert shares(place("auto", host(gpu(0, free=500), cpu(4)))) == [("cpu0", 1000)]


def test_the_first_host_with_room_is_taken_and_why_is_said() -> None:
    full, other = host(cpu(2, free=500)), host(cpu(2), name="h2")
    found = place("cpu.1", full, other)
    assert found == Placement(
        "h2",
        (SharePick(1, "cpu0", 1000),),
        "gradient for cpu.1: host h2 had room (1 of cpu0)",
    )


def test_fractions_share_a_device_and_wholes_do_not() -> None:
    assert shares(place("gpu.1-2", host(gpu(0, free=500)))) == [("gpu0", 500)]
    assert shares(place("gpu.1", host(gpu(0, free=875), gpu(1)))) == [("gpu1", 1000)]


@pytest.mark.parametrize(
    ("text", "hosts", "reason", "words"),
    [
        ("cpu", (), "NO_DEVICE", "joined"),
        ("cpu", (host(cpu(4), open=False),), "NO_DEVICE", "reached"),
        ("cpu.2", (host(cpu(4, free=1000)),), "NO_DEVICE", "room"),
        ("gpu.2", (host(gpu(0), gpu(1, free=1)),), "NO_DEVICE", "room"),
        ("gpu.2", (host(gpu(0)), host(gpu(1), name="h2")), "ARGUMENT", "more than 1 to lend"),
        ("cpu.8", (host(cpu(4)),), "ARGUMENT", "more than 4 to lend"),
        ("cpu.8", (host(cpu(4), open=False),), "ARGUMENT", "more than 4 to lend"),
        ("fpga", (host(cpu(4)),), "TYPE_UNKNOWN", "has a fpga, only cpu"),
        ("gpu.1-8", (host(gpu(0, grain=250)),), "ARGUMENT", "steps of 1/4 here"),
        ("cpu.1-8", (host(cpu(4, grain=1000)),), "ARGUMENT", "steps of 1 here"),
        ("auto", (host(),), "TYPE_UNKNOWN", "device"),
    ],
)
def test_refusals_say_why(text: str, hosts: tuple[HostView, ...], reason: str, words: str) -> None:
    found = refusal(place(text, *hosts))
    assert found[0] == reason
    assert words in found[1]


def test_a_coarse_device_does_not_stand_in_the_way_of_a_finer_one() -> None:
    assert shares(place("gpu.1-8", host(gpu(0, grain=500), gpu(1)))) == [("gpu1", 125)]


@pytest.mark.parametrize(
    ("isolation", "tenants", "fits"),
    [
        (1, frozenset[str](), True),
        (1, frozenset({"acme"}), True),
        (1, frozenset({"other"}), False),
        (2, frozenset({"other"}), True),
    ],
)
def test_below_level_2_one_tenant_a_host(
    isolation: int, tenants: frozenset[str], fits: bool
) -> None:
    found = place("cpu", host(cpu(4), isolation=isolation, tenants=tenants))
    if fits:
        assert shares(found) == [("cpu0", 1000)]
    else:
        reason, message = refusal(found)
        assert reason == "ISOLATION_UNAVAILABLE"
        assert "other" not in message


def test_what_is_free_in_pieces_isnt_room() -> None:
    """As the host's driver says it; else a grant would be refused there, again and again."""
    two = replace(cpu(2, free=500), taken=((750, 0), (750, 1)))
    assert refusal(place("cpu.1-2", host(two)))[0] == "NO_DEVICE"
    assert refusal(place("cpu", host(two)))[0] == "NO_DEVICE"
    found = place("cpu.1-4", host(two))
    assert isinstance(found, Placement)
    assert found.shares == (SharePick(1, "cpu0", 250, 0),)


def test_a_piece_goes_where_it_leaves_the_least() -> None:
    four = replace(cpu(4, free=1750), taken=((500, 1), (1000, 0), (750, 3)))
    units = []
    for text in ("cpu.1-4", "cpu.1-2", "cpu.3-4", "cpu"):
        found = place(text, host(four))
        assert isinstance(found, Placement)
        units.append(found.shares[0].unit)
    assert units == [3, 1, 0, 0]
