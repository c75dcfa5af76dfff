"""A host that is missed for a while: nothing is moved, failed or granted anew for that alone."""

from __future__ import annotations

import pytest

from eais.instance import InstanceState
from eais_pool.brain.events import HostLost, Tick
from eais_pool.testing import FakeHost
from tests.unit.pool.rig import Pool


@pytest.mark.parametrize("hours", [0, 1, 23])
def test_an_instance_stays_where_it_is_while_its_host_is_missed(hours: int) -> None:
    hosts = FakeHost("h1"), FakeHost("h2")
    pool = Pool(*hosts)
    made = pool.attached()
    pool.published()
    pool.shell.feed(HostLost("h1"))
    for _ in range(hours * 60):
        pool.shell.now += 60
        pool.shell.feed(Tick(frozenset({"h2"})))
    (lease,) = pool.shell.state.all_leases()
    assert (lease.key.host, lease.key.epoch, lease.lost) == ("h1", 1, True)
    assert pool.instance(made.id).state is InstanceState.IN_USE
    pool.shell.feed(hosts[0].join())
    (lease,) = pool.shell.state.all_leases()
    assert (lease.key.host, lease.key.epoch, lease.lost) == ("h1", 1, False)
    assert pool.instance(made.id).state is InstanceState.IN_USE
    assert (len(hosts[0].leases), hosts[1].leases) == (1, {})
    pool.published()
    pool.end()
