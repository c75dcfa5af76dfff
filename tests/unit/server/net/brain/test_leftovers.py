"""What agents of other state directories have left: named, and never taken for ours."""

from __future__ import annotations

import pytest

from eais.net.plan import Side, VnicKey
from eais_server.net.brain.leftovers import Leftover, leftovers
from eais_server.net.links.naming import agent_of, mark

OWN, LOST = "0123456789abcdef", "fedcba9876543210"
KEY = VnicKey("pool-0a0b0c0d", "ei-1", "rack1", Side.BACKEND)


def test_what_another_agent_made_is_told_with_what_takes_it_away() -> None:
    links = [("eais1", mark(LOST, KEY)), ("eais0", mark(LOST, KEY)), ("eais2", mark(OWN, KEY))]
    tables = ["eais-fedcba98", "eais-01234567", "filter"]
    (found,) = leftovers([*links, ("eth0", ""), ("br0", "eais:mine")], tables, OWN)
    assert (found.agent, found.text) == (
        LOST,
        "the interfaces eais0, eais1 and the table eais-fedcba98",
    )
    assert found.remedy == (
        "ip link del eais0; ip link del eais1; nft delete table inet eais-fedcba98"
    )


def test_a_table_whose_interfaces_are_gone() -> None:
    (found,) = leftovers([], ["eais-fedcba98", "eais-user", "eais-01234567"], OWN)
    assert found == Leftover("fedcba98", table="eais-fedcba98")
    assert (found.text, found.remedy) == (
        "the table eais-fedcba98",
        "nft delete table inet eais-fedcba98",
    )


def test_without_an_agent_all_of_them_are_others() -> None:
    found = leftovers([("eais2", mark(OWN, KEY)), ("eais0", mark(LOST, KEY))], (), "")
    assert [(each.agent, each.text) for each in found] == [
        (OWN, "the interface eais2"),
        (LOST, "the interface eais0"),
    ]


@pytest.mark.parametrize(
    "alias", ["", "eais", "eais:x:ei-1:0", f"eais:{OWN}", f"eais:{OWN}:ei-1:", "uplink:a:b:c"]
)
def test_an_alias_of_the_users_is_no_mark(alias: str) -> None:
    assert agent_of(alias) == ""
    assert leftovers([("eais0", alias)], ["filter"], "") == ()
