"""Which address an instance gets: of its host's making, or of the pool's plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eais.errors import EaisError
from eais.rpc.v1 import common_pb2, hosts_pb2
from eais_pool.brain import facts
from eais_pool.brain.actions import Grant, Send
from eais_pool.brain.codec import from_json
from eais_pool.brain.events import HostLost
from eais_pool.brain.host_records import Endpoint
from eais_pool.brain.view_records import InstanceView
from eais_pool.reports import joined
from eais_pool.testing import FakeHost
from eais_pool.testing.brains import device
from eais_pool.wire import instance_message
from tests.unit.pool.rig import SETTINGS, Pool

BOUND = replace(SETTINGS, vnic_driver="host", bind="10.1.2.9")
HERE = "10.1.2.3"


def bound(*addresses: str) -> Pool:
    """A pool that front-ends reach from elsewhere, with hosts of one core each; "": loopback."""
    hosts = (
        FakeHost(f"h{n}", [device(milli=1000)], vnic_address=address)
        for n, address in enumerate(addresses, start=1)
    )
    return Pool(*hosts, settings=BOUND)


def vnic(view: InstanceView) -> tuple[str, str]:
    return view.vnic_driver, view.address


def test_instances_of_a_host_with_an_address_are_all_at_it() -> None:
    pool = Pool(FakeHost(vnic_address=HERE))
    views = [pool.attached(), pool.attached()]
    assert [vnic(view) for view in views] == [("host", HERE)] * 2
    assert {worker.endpoint.address for view in views for worker in view.workers} == {HERE}
    pool.end()


def test_the_grant_says_by_which_driver() -> None:
    pool = Pool(FakeHost("h1", [device(milli=1000)]), FakeHost("h2", vnic_address=HERE))
    for _ in range(2):
        pool.ask("attach", type="cpu.1")
    grants = [s.command for s in pool.shell.said_of(Send) if isinstance(s.command, Grant)]
    found = [(grant.vnic_driver, grant.address) for grant in grants]
    assert found == [("loopback", "127.64.16.16"), ("host", HERE)]


def test_an_instance_without_lease_has_the_address_that_is_planned_for_it() -> None:
    pool = Pool(FakeHost(vnic_address=HERE))
    pool.ask("attach", type="cpu.1", no_start=True)
    assert vnic(pool.view()) == ("loopback", "127.64.16.16")


def test_in_a_bound_pool_it_will_be_any_back_ends_address() -> None:
    pool = bound(HERE)
    pool.ask("attach", type="cpu.1", no_start=True)
    bound_view = pool.view()
    assert vnic(bound_view) == ("host", "")
    pool.ask("start", bound_view.id)
    pool.deliver()
    assert vnic(pool.view()) == ("host", HERE)
    pool.ask("stop", bound_view.id)
    pool.deliver()
    assert vnic(pool.view()) == ("host", "")
    pool.ask("detach", bound_view.id)
    assert vnic(pool.view()) == ("", "")


def test_its_owner_is_told_of_the_driver_before_there_is_an_address() -> None:
    pool = bound(HERE)
    pool.ask("attach", type="cpu.1", no_start=True)
    view = pool.view()
    message = instance_message(view, "pool-1")
    assert (message.vnic.driver, message.vnic.address) == ("host", "")
    assert message.vnic.isolation == "mTLS only"
    pool.ask("detach", view.id)
    assert not instance_message(pool.view(), "pool-1").HasField("vnic")


@pytest.mark.parametrize("address", ["", "127.0.0.2", "::1"])
def test_front_ends_elsewhere_are_never_given_a_host_on_loopback(address: str) -> None:
    pool = bound(address)
    pool.ask("attach", type="cpu.1")
    failure = pool.failure()
    assert failure.reason == "NO_DEVICE"
    assert "no front-end elsewhere reaches the loopback addresses of h1" in failure.message
    pool.end()


def test_they_are_given_the_one_that_they_reach() -> None:
    pool = bound("127.0.0.2", HERE)
    assert pool.attached().host == "h2"
    pool.ask("attach", type="cpu.1")
    assert "no back-end has room" in pool.failure().message


def test_front_ends_of_this_machine_are_given_any() -> None:
    hosts = FakeHost("h1", vnic_address="127.0.0.2"), FakeHost("h2")
    pool = Pool(*hosts, settings=replace(BOUND, bind="127.0.0.1"))
    assert vnic(pool.attached("cpu.4")) == ("host", "127.0.0.2")
    assert pool.attached("cpu.4").vnic_driver == "loopback"


def test_a_host_that_comes_back_at_another_address_is_granted_its_leases_there() -> None:
    pool = bound(HERE)
    view = pool.attached()
    pool.shell.feed(HostLost("h1"))
    host = pool.hosts["h1"]
    host.leases.clear()
    host.vnic_address = "10.1.2.9"
    pool.shell.feed(host.join())
    pool.deliver()
    pool.published()
    lease = pool.shell.state.live_lease(view.id)
    assert lease is not None
    assert (lease.vnic_driver, lease.address, lease.epoch) == ("host", "10.1.2.9", view.epoch)
    pool.end()


def test_what_an_older_manager_wrote_is_on_loopback() -> None:
    row = (
        '{"host":"h1","instance":"ei-1","epoch":1,"tenant":"a","address":"127.64.16.16",'
        '"shares":[],"why":""}'
    )
    assert from_json(facts.LeaseReserved, row).vnic_driver == "loopback"
    again = from_json(facts.LeaseReservedAgain, '{"host":"h1","instance":"ei-1","epoch":1}')
    assert (again.address, again.vnic_driver) == ("", "")
    host = (
        '{"host":{"host":"h1","boot_id":"b","user_plane":{"address":"127.64.16.2","port":4},'
        '"isolation":2,"isolation_reason":"","devices":[],"reachable":true}}'
    )
    record = from_json(facts.HostRegistered, host).host
    assert (record.vnic_driver, record.vnic_address) == ("loopback", "")


def join(driver: str, address: str = "") -> hosts_pb2.Join:
    return hosts_pb2.Join(vnic_driver=driver, vnic_address=address)


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        (join(""), ("loopback", "")),
        (join("loopback", "10.1.2.3"), ("loopback", "")),
        (join("host", "10.1.2.3"), ("host", "10.1.2.3")),
        (join("host", "fd00::7"), ("host", "fd00::7")),
    ],
)
def test_what_a_listener_says_of_its_vnics(said: hosts_pb2.Join, taken: tuple[str, str]) -> None:
    record = joined("h1", said).host
    assert (record.vnic_driver, record.vnic_address) == taken


@pytest.mark.parametrize(
    "said",
    [
        join("veth"),
        join("host"),
        join("host", "back-end.example"),
        join("host", "0.0.0.0"),
        join("host", "::"),
        join("host", "224.0.0.1"),
        join("host", "::ffff:127.0.0.1"),
    ],
)
def test_what_no_listener_can_have(said: hosts_pb2.Join) -> None:
    with pytest.raises(EaisError) as caught:
        joined("h1", said)
    assert caught.value.reason == "ARGUMENT"


def test_where_its_management_plane_is() -> None:
    place = common_pb2.Endpoint(address=HERE, port=4001)
    said = hosts_pb2.Join(management_plane=place)
    assert joined("h1", said).host.management_plane == Endpoint(HERE, 4001)
    assert joined("h1", hosts_pb2.Join()).host.management_plane is None
