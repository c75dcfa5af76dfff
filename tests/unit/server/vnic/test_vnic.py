from __future__ import annotations

import errno
from collections.abc import Collection

import pytest

from eais.errors import EaisError
from eais.net.traffic import Traffic
from eais_server.testing import FakeVnic, check_vnic
from eais_server.vnic import HostDriver, LoopbackDriver, VnicDriver, VnicPlan
from eais_server.vnic.existing import try_bind

FIRST = VnicPlan("ei-1", "a", "127.66.7.1")
SECOND = VnicPlan("ei-2", "b", "127.66.7.2")


def loopback() -> LoopbackDriver:
    return LoopbackDriver(lambda _instance: Traffic(3, 4))


def test_loopback_conforms() -> None:
    check_vnic(loopback, FIRST, SECOND)


def host(address: str = "127.0.0.9") -> HostDriver:
    return HostDriver(address, lambda _instance: Traffic(3, 4))


def test_the_hosts_own_address_conforms() -> None:
    check_vnic(host, VnicPlan("ei-1", "a", "127.0.0.9"), VnicPlan("ei-2", "b", "127.0.0.9"))


def test_the_fake_conforms() -> None:
    check_vnic(FakeVnic, FIRST, SECOND)


class Forgetful(LoopbackDriver):
    """Gives one address to two instances."""

    def create(self, plan: VnicPlan) -> object:  # type: ignore[override]
        self._addresses.clear()
        return super().create(plan)


class Generous(LoopbackDriver):
    """Knows every instance."""

    def _require(self, instance: str) -> None:
        return


class Indifferent(HostDriver):
    """Gives any address that it is asked for."""

    def _check_address(self, address: str, taken: Collection[str]) -> None:
        return


def test_the_conformance_function_finds_a_host_driver_that_gives_any_address() -> None:
    plans = (VnicPlan("ei-1", "a", "127.0.0.9"), VnicPlan("ei-2", "b", "127.0.0.9"))
    with pytest.raises(AssertionError):
        check_vnic(lambda: Indifferent("127.0.0.9", lambda _instance: Traffic()), *plans)


@pytest.mark.parametrize("wrong", [Forgetful, Generous])
def test_the_conformance_function_finds_a_driver_that_does_not_conform(
    wrong: type[LoopbackDriver],
) -> None:
    def maker() -> VnicDriver:
        return wrong(lambda _instance: Traffic())

    with pytest.raises(AssertionError):
        check_vnic(maker, FIRST, SECOND)


def test_loopback_says_how_it_isolates() -> None:
    state = loopback().create(FIRST)
    assert (state.driver, state.isolation) == ("loopback", "mTLS only")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.128.0.1", "127.63.255.255", "10.0.0.1", "::1", "", "localhost"]
)
def test_loopback_has_its_own_range(address: str) -> None:
    with pytest.raises(EaisError) as caught:
        loopback().create(VnicPlan("ei-1", "a", address))
    assert caught.value.reason == "LOOPBACK_RANGE"


def test_an_address_that_cannot_be_bound_is_refused() -> None:
    def bind(address: str) -> None:
        raise OSError(errno.EADDRNOTAVAIL, "no such address")

    driver = LoopbackDriver(lambda _instance: Traffic(), bind=bind)
    with pytest.raises(EaisError) as caught:
        driver.create(FIRST)
    assert caught.value.reason == "LOOPBACK_RANGE"
    assert not driver.counters()


def test_by_default_binding_is_tried_indeed() -> None:
    with pytest.raises(OSError, match="assign"):
        try_bind("192.0.2.1")


def test_loopback_refuses_a_cap_that_it_cannot_enforce() -> None:
    driver = loopback()
    driver.create(FIRST)
    with pytest.raises(EaisError) as caught:
        driver.limit("ei-1", 1000)
    assert caught.value.reason == "UNIMPLEMENTED"


def test_loopback_counts_what_its_workers_report() -> None:
    driver = loopback()
    driver.create(FIRST)
    assert driver.counters() == {"ei-1": Traffic(3, 4)}


def test_the_fake_fails_when_told() -> None:
    driver = FakeVnic()
    driver.fail_next("create", OSError("no"))
    with pytest.raises(OSError, match="no"):
        driver.create(FIRST)
    driver.create(FIRST)
    assert list(driver.vnics) == ["ei-1"]


def test_the_host_driver_says_how_it_isolates() -> None:
    state = host().create(VnicPlan("ei-1", "a", "127.0.0.9"))
    assert (state.driver, state.address, state.isolation) == ("host", "127.0.0.9", "mTLS only")


@pytest.mark.parametrize(("own", "asked"), [("127.0.0.9", "127.0.0.8"), ("192.0.2.1", "192.0.2.1")])
def test_the_host_driver_gives_this_hosts_address_alone(own: str, asked: str) -> None:
    with pytest.raises(EaisError) as caught:
        host(own).create(VnicPlan("ei-1", "a", asked))
    assert caught.value.reason == "ADDRESS"


def test_the_host_driver_gives_an_address_of_the_sixth_version() -> None:
    assert host("::1").create(VnicPlan("ei-1", "a", "::1")).address == "::1"
