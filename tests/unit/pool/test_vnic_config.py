"""`[vnic]` in the pool's file: whose addresses are of which network, and caps."""

from __future__ import annotations

from pathlib import Path

import pytest

from eais.errors import ConfigError, UsageError
from eais.toml_file import TomlFile
from eais_pool.brain.net_rules import NETWORK, NetRule, NetRules
from eais_pool.vnic_config import read_net_rules

MBIT = 125_000


def read(tmp_path: Path, text: str) -> NetRules:
    file = tmp_path / "pool.toml"
    file.write_text(text)
    return read_net_rules(TomlFile.read(file))


def test_a_tenant_has_key_by_key_its_own(tmp_path: Path) -> None:
    rules = read(
        tmp_path,
        """
        [vnic]
        cap = "100Mbit"
        [vnic.tenants.acme]
        network = "10.9.0.0/16"
        [vnic.tenants.bravo]
        cap = "unlimited"
        """,
    )
    assert rules.of("other") == NetRule(NETWORK, 100 * MBIT)
    assert rules.of("acme") == NetRule("10.9.0.0/16", 100 * MBIT)
    assert rules.of("bravo") == NetRule(NETWORK, 0)
    assert list(rules.tenants) == ["acme", "bravo"]


def test_without_a_word_there_is_one_network_and_no_cap() -> None:
    assert read_net_rules(None).of("any") == NetRule(NETWORK, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[vnic]\nnetwork = "10.9.0.0/33"', "no IPv4 network such as"),
        ('[vnic]\nnetwork = "10.9.0.1/24"', "no IPv4 network such as"),
        ("[vnic]\nnetwork = 10", "must be a text, in quotes"),
        ('[vnic]\ncap = "fast"', "a rate is such as 100Mbit"),
        ('[vnic]\ncap = "8bit"', "bytes a second, not 1"),
        ("[vnic]\ncap = 100", "must be a text, in quotes"),
        ('[vnic]\nnetworks = "10.9.0.0/16"', "networks"),
        ("[vnic.tenants.acme]\nmtu = 1", "mtu"),
        ('[vnic.tenants."A b"]\ncap = "1Mbit"', "A b"),
        ('[vnic.tenants.acme]\nnetwork = "127.0.0.0/8"', "which no vNIC can have"),
    ],
)
def test_what_will_not_do_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"pool\.toml") as caught:
        read(tmp_path, text)
    assert caught.value.reason == "CONFIG"
    assert said in caught.value.message


def test_a_cap_is_the_tenants_or_a_smaller_one() -> None:
    rules = NetRules(NetRule(), {"acme": NetRule(NETWORK, 1000)})
    assert [rules.cap("acme", asked) for asked in (0, 700, 2000)] == [1000, 700, 1000]
    assert [rules.cap("other", asked) for asked in (0, 700)] == [0, 700]
    rules.check_cap("acme", 1000)
    rules.check_cap("other", 5000)
    with pytest.raises(UsageError, match="carries 8 kbit/s at most") as caught:
        rules.check_cap("acme", 1001)
    assert "8.008 kbit/s" in (caught.value.hint or "")


def test_where_no_cap_can_be_kept_that_is_said() -> None:
    rules = NetRules(NetRule(), {"acme": NetRule(NETWORK, 1000)})
    assert "cap of 8 kbit/s isn't kept by host" in rules.not_kept("acme", "host")
    assert rules.not_kept("other", "host") == ""
