"""What nftables is told: as text, and what is left as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eais.errors import IdentityError
from eais.net.plan import MAX_CAP_BYTES_PER_S, Side
from eais_server.net.firewall.ruleset import (
    Guarded,
    Held,
    Tunnel,
    read_held,
    replacing,
    table_of,
)

BACK = Guarded(
    Side.BACKEND, "eaisb", "10.9.0.1", "10.9.0.2", frozenset({443, 80}), cap_bytes_per_s=1_250_000
)
FRONT = Guarded(Side.FRONTEND, "eaisf", "10.9.1.2", "10.9.1.1")


def told(*ends: Guarded, tunnels: tuple[Tunnel, ...] = (), held: Held | None = None) -> list[str]:
    return replacing("eais-a1", held or Held(), ends, tunnels).splitlines()


def naming(lines: list[str], what: str) -> str:
    (line,) = (line for line in lines if line.startswith(what))
    return line


def rules(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("add rule ")]


def test_the_table_has_the_agents_name_in_its() -> None:
    assert table_of("0123456789abcdef") == "eais-01234567"


def test_an_end_is_in_the_sets_that_its_side_needs() -> None:
    lines = told(BACK, FRONT)
    assert '{ type ifname ; elements = { "eaisb" } ; }' in naming(
        lines, "add set inet eais-a1 back"
    )
    assert '{ type ifname ; elements = { "eaisf" } ; }' in naming(
        lines, "add set inet eais-a1 fron"
    )
    pairs = naming(lines, "add set inet eais-a1 pairs")
    assert '"eaisb" . 10.9.0.2 . 10.9.0.1, "eaisf" . 10.9.1.1 . 10.9.1.2' in pairs
    ports = naming(lines, "add set inet eais-a1 open_ports")
    assert '{ "eaisb" . 80, "eaisb" . 443 }' in ports


def test_a_front_end_opens_no_port_whatever_it_is_said_to() -> None:
    lines = told(replace(FRONT, ports=frozenset({80})))
    assert naming(lines, "add set inet eais-a1 open_ports").endswith(
        "{ type ifname . inet_service ; }"
    )


def test_rules_are_as_many_for_a_thousand_ends_as_for_none() -> None:
    many = [
        Guarded(Side.BACKEND, f"eais{i}", f"10.1.{i // 256}.{i % 256}", "10.2.0.1")
        for i in range(1_000)
    ]
    assert rules(told(*many)) == rules(told())


def test_a_cap_is_a_limiter_of_its_rate() -> None:
    lines = told(BACK, FRONT)
    assert "rate over 1250000 bytes/second burst 65536 bytes" in naming(lines, "add limit")
    assert '{ "eaisb" : "cap-eaisb-1250000" }' in naming(lines, "add map inet eais-a1 caps")
    assert not [line for line in told(FRONT) if line.startswith("add limit")]


def test_counters_and_limiters_that_are_there_are_left_as_they_are() -> None:
    held = Held(
        frozenset({("counter", "in-eaisb"), ("counter", "out-eaisb"),
                   ("limit", "cap-eaisb-1250000"), ("set", "pairs"), ("chain", "incoming")})
    )  # fmt: skip
    lines = told(BACK, held=held)
    assert lines[:4] == [
        "add table inet eais-a1",
        "flush table inet eais-a1",
        "delete chain inet eais-a1 incoming",
        "delete set inet eais-a1 pairs",
    ]
    assert not [line for line in lines if " counter inet " in line or " limit inet " in line]


def test_what_belongs_to_ends_that_are_gone_goes_and_another_cap_is_another_limiter() -> None:
    held = Held(
        frozenset(
            {("counter", "in-eaisz"), ("counter", "in-eaisb"), ("limit", "cap-eaisb-1250000")}
        )
    )
    lines = told(replace(BACK, cap_bytes_per_s=7), held=held)
    deleted = [line for line in lines if line.startswith("delete ")]
    assert deleted == [
        "delete counter inet eais-a1 in-eaisz",
        "delete limit inet eais-a1 cap-eaisb-1250000",
    ]
    assert "cap-eaisb-7" in naming(lines, "add limit")


def test_tunnels_are_told_as_they_are_on_the_wire() -> None:
    lines = told(tunnels=(Tunnel("192.0.2.1", 77, 4790), Tunnel("192.0.2.2", 77, 4790)))
    assert "{ 4790 . 0x4d00 }" in naming(lines, "add set inet eais-a1 numbers")
    sources = naming(lines, "add set inet eais-a1 tunnels")
    assert "{ 192.0.2.1 . 4790 . 0x4d00, 192.0.2.2 . 4790 . 0x4d00 }" in sources


def test_the_same_ends_are_told_alike_in_any_order() -> None:
    assert told(BACK, FRONT) == told(FRONT, BACK)


def test_a_listing_says_what_is_held() -> None:
    listing = {
        "nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"table": {"name": "eais-a1"}},
            {"counter": {"name": "in-eaisb", "packets": 3}},
            {"map": {"name": "caps"}},
            {"rule": {"chain": "incoming"}},
        ]
    }
    assert read_held(listing) == Held(frozenset({("counter", "in-eaisb"), ("map", "caps")}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("interface", 'x" }'),
        ("interface", "a" * 16),
        ("interface", ""),
        ("address", "10.9.0.1/24"),
        ("address", "fe80::1"),
        ("peer", "10.9.0.1; flush ruleset"),
        ("ports", frozenset({0})),
        ("ports", frozenset({65_536})),
        ("cap_bytes_per_s", -1),
        ("cap_bytes_per_s", MAX_CAP_BYTES_PER_S + 1),
    ],
)
def test_what_could_say_more_than_it_is_for_is_refused(field: str, value: object) -> None:
    with pytest.raises(IdentityError) as caught:
        replace(BACK, **{field: value})  # type: ignore[arg-type]
    assert caught.value.reason == "NET_PLAN"


@pytest.mark.parametrize("bad", [("x", 1, 1), ("192.0.2.1", 0, 1), ("192.0.2.1", 1 << 24, 1)])
def test_a_tunnel_that_cant_be_is_refused(bad: tuple[str, int, int]) -> None:
    with pytest.raises(IdentityError, match="NET_PLAN"):
        Tunnel(*bad)


def test_an_agents_id_is_no_command() -> None:
    with pytest.raises(IdentityError, match="NET_PLAN"):
        table_of("a; flush ruleset")


def test_two_ends_of_one_interface_are_refused() -> None:
    with pytest.raises(IdentityError, match="one interface"):
        told(BACK, replace(FRONT, interface="eaisb"))
