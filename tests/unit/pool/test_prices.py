from __future__ import annotations

from pathlib import Path

import pytest

from eais.config import read_pool_file
from eais.device_type import DeviceKind
from eais.errors import ConfigError
from eais.toml_file import TomlFile
from eais_pool.brain.address_plan import AddressPlan
from eais_pool.brain.net_rules import NetRules
from eais_pool.brain.quotas import Quotas
from eais_pool.config import ManagerConfig
from eais_pool.policy.prices import DEFAULTS, Prices
from eais_pool.price_config import read_prices


def read(tmp_path: Path, text: str) -> Prices:
    file = tmp_path / "pool.toml"
    file.write_text(text)
    return read_prices(read_pool_file(file))


def test_the_file_goes_before_the_defaults_kind_by_kind(tmp_path: Path) -> None:
    prices = read(tmp_path, "[prices]\ncpu = 0.03\nnpu = 0\n")
    assert prices.per_h == {**DEFAULTS, DeviceKind.CPU: 0.03, DeviceKind.NPU: 0.0}


def test_without_a_word_there_are_prices_of_every_kind(tmp_path: Path) -> None:
    assert read_prices(None).per_h == read(tmp_path, "").per_h == DEFAULTS
    assert set(DEFAULTS) == set(DeviceKind)
    assert read_prices(TomlFile(tmp_path)).per_h == DEFAULTS


def test_a_share_costs_its_part() -> None:
    prices = Prices({DeviceKind.GPU: 2.0, DeviceKind.CPU: 0.02})
    assert prices.of(DeviceKind.GPU, 125) == 0.25
    assert prices.of(DeviceKind.CPU, 4000) == 0.08


def test_they_reach_the_reactor() -> None:
    prices = Prices({DeviceKind.CPU: 1.0})
    plan = AddressPlan("127.64.16.0/20")
    assert ManagerConfig().settings(plan, Quotas(), prices, NetRules()).prices == prices


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[prices]\ntpu = 1", "pool.toml:2:1: [prices] has no 'tpu'; known: cpu, gpu, fpga, npu"),
        ("[prices]\n\ncpu = -1", "pool.toml:3:1: cpu = '-1': must be a price an hour, 0 to "),
        ("[prices]\ncpu = nan", "cpu = 'nan': must be a price"),
        ("[prices]\ncpu = inf", "cpu = 'inf': must be a price"),
        ("[prices]\ncpu = true", "cpu = 'True': must be a price"),
        ("[prices]\ncpu = '0.02 €'", "must be a price"),
        ("[prices]\ncpu = 1e9", "must be a price"),
        ("prices = 7", "pool.toml:1:1: prices must be a table"),
    ],
)
def test_mistakes_are_named_by_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert caught.value.reason == "CONFIG"
    assert says in caught.value.message
