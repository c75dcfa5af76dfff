"""Share × lease time × price."""

from __future__ import annotations

from eais.device_type import DeviceKind
from eais_pool.brain.charges import charge, charged_of
from eais_pool.policy.prices import Prices
from eais_pool.testing import FakeHost, device
from tests.unit.pool.rig import Pool

PRICES = Prices({DeviceKind.CPU: 0.5, DeviceKind.GPU: 2.0, DeviceKind.FPGA: 1, DeviceKind.NPU: 1})


def test_time_that_goes_backwards_costs_nothing() -> None:
    assert charge(2.0, 1800) == 1.0
    assert charge(2.0, -5) == 0


def charged(pool: Pool) -> list[tuple[str, int]]:
    state = pool.shell.state
    found = (charged_of(state, lease, PRICES, 0.0) for lease in state.all_leases())
    return [(share.kind, share.milli) for shares in found for share in shares]


def test_a_share_is_charged_for_from_when_it_serves_until_it_is_taken_back() -> None:
    pool = Pool(FakeHost("h1", [device(milli=4000), device("gpu0", "gpu", 1000)]))
    pool.ask("attach", type="gpu.1-4")
    instance = next(iter(pool.shell.state.instances))
    assert charged(pool) == []
    pool.deliver()
    assert charged(pool) == [("gpu", 250)]
    pool.ask("stop", instance)
    assert charged(pool) == []
    pool.deliver()
    assert charged(pool) == []
