"""Share × lease time × price."""

from __future__ import annotations

from math import inf

import pytest

from eais.device_type import DeviceKind
from eais_pool.brain.charges import Meter, charge, charged_shares, rate_per_h
from eais_pool.policy.prices import Prices
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import Pool

PRICES = Prices({DeviceKind.CPU: 0.5, DeviceKind.GPU: 2.0, DeviceKind.FPGA: 1, DeviceKind.NPU: 1})


def test_shares_of_several_kinds_cost_what_each_costs_an_hour() -> None:
    assert rate_per_h(PRICES, [("gpu", 250), ("cpu", 2000)]) == pytest.approx(0.5 + 1.0)
    assert rate_per_h(PRICES, []) == 0


def test_time_that_goes_backwards_costs_nothing() -> None:
    assert charge(2.0, 1800) == 1.0
    assert charge(2.0, -5) == 0


def test_a_meter_counts_on_at_another_rate() -> None:
    meter = Meter(1.0, 2.0, at=100.0)
    assert meter.until(1900) == 2.0
    faster = meter.at_rate(4.0, 1900)
    assert faster == Meter(2.0, 4.0, 1900)
    assert faster.until(2800) == 3.0


def test_a_meter_knows_when_a_cost_is_reached() -> None:
    meter = Meter(1.0, 2.0, at=0.0)
    assert meter.reaches_in_s(2.0, 900) == 900
    assert meter.reaches_in_s(1.0, 900) == 0
    assert Meter(1.0).reaches_in_s(2.0, 900) == inf


def test_a_share_is_charged_for_from_when_it_serves_until_it_is_taken_back() -> None:
    pool = Pool(FakeHost("h1", [device(milli=4000), device("gpu0", "gpu", 1000)]))
    pool.ask("attach", type="gpu.1-4")
    instance = next(iter(pool.shell.state.instances))
    assert charged_shares(pool.shell.state, instance) == []
    pool.deliver()
    assert charged_shares(pool.shell.state, instance) == [("gpu", 250)]
    pool.ask("stop", instance)
    assert charged_shares(pool.shell.state, instance) == []
    pool.deliver()
    assert charged_shares(pool.shell.state, instance) == []
