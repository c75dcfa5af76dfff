"""The index of a state says what its records say."""

from __future__ import annotations

from eais_pool.brain import facts
from eais_pool.brain.index import Index
from eais_pool.brain.placing import host_views
from eais_pool.brain.quotas import instances_of, milli_of
from eais_pool.brain.state import PoolState
from eais_pool.testing import FakeHost
from eais_pool.testing.brains import device
from tests.unit.pool.rig import SETTINGS, Pool


def test_what_tenants_have_is_counted_as_leases_come_and_go() -> None:
    pool = Pool(FakeHost("h1", (device(), device("gpu0", "gpu", 1000))))
    view, _ = pool.attached("gpu.1-2"), pool.attached("cpu.2")
    state = pool.shell.state
    assert milli_of(state, "acme") == {"cpu": 2000, "gpu": 500}
    assert (instances_of(state, "acme"), instances_of(state, "other")) == (2, 0)
    pool.ask("detach", view.id)
    pool.deliver()
    assert milli_of(state, "acme") == {"cpu": 2000}
    assert instances_of(state, "acme") == 1


def test_a_host_that_comes_back_with_other_devices_keeps_the_count_right() -> None:
    host = FakeHost("h1", (device(), device("gpu0", "gpu", 1000)))
    pool = Pool(host)
    pool.attached("gpu.1-2")
    host.devices = (device(),)
    pool.shell.feed(host.join())  # the state is validated after each event
    assert milli_of(pool.shell.state, "acme") == {"gpu": 500}


def test_an_index_of_no_ipv4_address_knows_it_holds_none() -> None:
    index = Index()
    for address in ("", "nowhere", "::1", "300.1.1.1"):
        index.hold(address)
    assert index.says() == Index().says()


def test_an_event_changes_its_own_layer_alone() -> None:
    index = Index()
    index.count("acme", 1)
    index.hold("10.0.0.1")
    before, layer = index.says(), index.layer()
    layer.count("acme", 1)
    layer.hold("10.0.0.1", -1)
    assert index.says() == before != layer.says()


def test_a_host_that_did_not_change_is_seen_as_the_same_view() -> None:
    pool = Pool(FakeHost("h1"), FakeHost("h2"))
    before = host_views(pool.shell.state, "", SETTINGS)
    view = pool.attached("cpu.1")
    after = host_views(pool.shell.state, "", SETTINGS)
    assert [one is other for one, other in zip(before, after, strict=True)] == [False, True]
    assert after[0].devices[0].free_milli == 3000
    # What an event would do is seen in its own layer alone.
    layer = PoolState.layered(pool.shell.state)
    layer.apply(facts.HostCordoned("h2", True, False))
    assert [each.open for each in host_views(layer, view.id, SETTINGS)] == [False, False]
    assert [each.open for each in host_views(pool.shell.state, view.id, SETTINGS)] == [False, True]
    assert host_views(pool.shell.state, "", SETTINGS) == after
    anew = pool.shell.state.copy()
    assert host_views(anew, "", SETTINGS) == after
