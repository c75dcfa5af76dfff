"""What a plan asks of a tunnel, and the least that makes it so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eais.net.plan import WIREGUARD, NetPlan, Side, VnicKey
from eais_server.net.links.wireguard_tunnel import (
    KEEPALIVE_S,
    Change,
    Endpoint,
    Peer,
    Tunnel,
    change_to,
    tunnel_of,
)

OWN, OTHER, NEW = b"o" * 32, b"p" * 32, b"n" * 32
CALLED = NetPlan(
    VnicKey("pool", "ei-7f3a", "rack1", Side.BACKEND), "a1", "t", 1, WIREGUARD,
    "198.18.0.2", "198.18.0.3", peer_agent="a2", port=51820, peer_public_key=OTHER,
)  # fmt: skip
CALLS = replace(CALLED, port=0, peer_underlay="10.0.0.2", peer_port=51821)
PEER = Peer(OTHER, ("198.18.0.3/32",), Endpoint("10.0.0.2", 51821))
TUNNEL = Tunnel(OWN, 51820, (PEER,))


def test_the_peer_may_use_its_own_address_alone() -> None:
    assert tunnel_of(CALLED, OWN) == Tunnel(OWN, 51820, (Peer(OTHER, ("198.18.0.3/32",)),))


@pytest.mark.parametrize(
    ("plan", "seconds"),
    [
        (CALLED, 0),
        (CALLS, KEEPALIVE_S),
        (replace(CALLS, port=51820), KEEPALIVE_S),
    ],
)
def test_who_knows_the_peers_place_keeps_the_way_open(plan: NetPlan, seconds: int) -> None:
    [peer] = tunnel_of(plan, OWN).peers
    assert peer.keepalive_s == seconds


def test_a_new_tunnel_gets_everything() -> None:
    assert change_to(TUNNEL, Tunnel(), None) == Change(True, 51820, (), PEER)


@pytest.mark.parametrize("made", [None, TUNNEL])
def test_what_is_so_already_is_left_alone(made: Tunnel | None) -> None:
    assert not change_to(TUNNEL, TUNNEL, made)


def test_a_port_that_the_kernel_chose_is_kept() -> None:
    assert not change_to(replace(TUNNEL, port=0), TUNNEL, None)


def test_another_key_is_another_peer_and_the_old_one_goes() -> None:
    found = replace(TUNNEL, peers=(replace(PEER, public_key=NEW),))
    assert change_to(TUNNEL, found, None) == Change(gone=(NEW,), peer=PEER)


def test_a_second_peer_goes_and_the_first_is_left_alone() -> None:
    found = replace(TUNNEL, peers=(PEER, replace(PEER, public_key=NEW)))
    assert change_to(TUNNEL, found, None) == Change(gone=(NEW,))


def roamed(port: int) -> Tunnel:
    return replace(TUNNEL, peers=(replace(PEER, endpoint=Endpoint("10.0.0.77", port)),))


def test_a_peer_that_roamed_keeps_its_place_under_the_same_plan() -> None:
    assert not change_to(TUNNEL, roamed(7), TUNNEL)


def test_a_plan_with_another_place_moves_it() -> None:
    wanted = roamed(8)
    assert change_to(wanted, roamed(7), TUNNEL) == Change(peer=wanted.peers[0])


def test_what_was_said_before_is_said_again_when_nobody_remembers() -> None:
    assert change_to(TUNNEL, roamed(7), None) == Change(peer=PEER)


def test_a_peer_that_calls_keeps_the_place_that_it_called_from() -> None:
    assert not change_to(tunnel_of(CALLED, OWN), roamed(7), None)


def test_a_peer_that_roamed_keeps_its_place_when_its_address_is_another() -> None:
    readdressed = replace(PEER, allowed=("198.18.0.9/32",))
    wanted = replace(TUNNEL, peers=(readdressed,))
    assert change_to(wanted, roamed(7), TUNNEL) == Change(peer=replace(readdressed, endpoint=None))


def test_another_own_key_and_port_are_told() -> None:
    assert change_to(TUNNEL, replace(TUNNEL, public_key=NEW, port=1), None) == Change(True, 51820)
