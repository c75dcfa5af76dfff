"""The conformance of vNIC drivers as a function, and a driver that does nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Final

from eais.errors import EaisError, make_error
from eais.net.traffic import NO_TRAFFIC, Traffic
from eais_server.vnic.driver import VnicDriver, VnicPlan, VnicState

Maker = Callable[[], VnicDriver]
Planned = Callable[[str, str, str], VnicPlan]

# Of the addresses kept for documentation (RFC 5737): no host has it.
_NOBODYS: Final = "192.0.2.77"


def check_vnic(
    maker: Maker, first: VnicPlan, second: VnicPlan, planned: Planned = VnicPlan
) -> None:
    """Hold a driver to `VnicDriver`; AssertionError says where it falls short.

    Args:
        maker: a driver that knows of no vNIC yet; called more than once, as after a crash.
        first: a plan that this host can carry out.
        second: another instance's, with another address; with the same, if the driver gives
            all instances one.
        planned: makes a plan for an instance, a tenant and an address.
    """
    check_addresses = _check_shared if first.address == second.address else _check_own
    check_addresses(maker(), first, second, planned)
    _check_create(maker(), first, second)
    _check_unknown(maker(), first.instance)
    _check_limit(maker(), first)
    _check_counters(maker(), first)
    _check_destroy(maker, first, planned)


def _check_create(driver: VnicDriver, first: VnicPlan, second: VnicPlan) -> None:
    state = driver.create(first)
    told = (state.driver, state.instance, state.address, state.isolation)
    assert told == (driver.name, first.instance, first.address, driver.isolation)
    assert driver.isolation, "it must say what keeps others off"
    assert driver.create(first) == state, "the same plan again must change nothing"
    assert driver.create(second).address == second.address
    driver.connect(first.instance, {4001, 4002})
    driver.connect(first.instance, {4002})
    driver.destroy(first.instance)
    assert second.instance in driver.counters(), (
        "what is destroyed must take nothing of another's along"
    )
    driver.destroy(second.instance)


def _check_own(driver: VnicDriver, first: VnicPlan, second: VnicPlan, planned: Planned) -> None:
    driver.create(first)
    moved = planned(first.instance, first.tenant, second.address)
    assert _refusal(lambda: driver.create(moved)) in ("WRONG_STATE", "NET_PLAN")
    taken = planned(second.instance, second.tenant, first.address)
    assert _refusal(lambda: driver.create(taken)) == "WRONG_STATE"
    assert driver.create(second).address == second.address, "what was refused must leave nothing"


def _check_shared(driver: VnicDriver, first: VnicPlan, second: VnicPlan, planned: Planned) -> None:
    """Nobody gets an address that isn't the one, and whoever was refused has none."""
    driver.create(first)
    moved = planned(first.instance, first.tenant, _NOBODYS)
    assert _refusal(lambda: driver.create(moved)) == "WRONG_STATE"
    elsewhere = planned(second.instance, second.tenant, _NOBODYS)
    assert _refusal(lambda: driver.create(elsewhere)) not in ("", "WRONG_STATE")
    assert second.instance not in driver.counters()


def _check_unknown(driver: VnicDriver, instance: str) -> None:
    assert _refusal(lambda: driver.connect(instance, {4001})) == "NOT_FOUND"
    assert _refusal(lambda: driver.limit(instance, None)) == "NOT_FOUND"
    assert instance not in driver.counters()
    driver.destroy(instance)


def _check_limit(driver: VnicDriver, plan: VnicPlan) -> None:
    driver.create(plan)
    driver.limit(plan.instance, None)
    assert _refusal(lambda: driver.limit(plan.instance, 0)) == "ARGUMENT"
    # Set or refused; never taken and not enforced.
    assert _refusal(lambda: driver.limit(plan.instance, 1 << 20)) in ("", "UNIMPLEMENTED")
    driver.limit(plan.instance, None)
    driver.destroy(plan.instance)


def _check_counters(driver: VnicDriver, plan: VnicPlan) -> None:
    driver.create(plan)
    before = driver.counters()[plan.instance]
    after = driver.counters()[plan.instance]
    assert 0 <= before.bytes_in <= after.bytes_in
    assert 0 <= before.bytes_out <= after.bytes_out
    driver.destroy(plan.instance)


def _check_destroy(maker: Maker, plan: VnicPlan, planned: Planned) -> None:
    maker().create(plan)
    driver = maker()  # the one before was killed
    driver.destroy(plan.instance)
    driver.destroy(plan.instance)
    assert plan.instance not in driver.counters()
    other = planned(f"{plan.instance}x", plan.tenant, plan.address)
    assert driver.create(other).address == plan.address, "a destroyed vNIC's address is free"
    driver.destroy(other.instance)


def _refusal(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except EaisError as error:
        return error.reason
    return ""


class FakeVnic:
    """A driver of addresses that need not exist, with faults by name.

    Attributes:
        vnics: what is there, by instance.
        ports: those that the front-end may reach, by instance.
        caps: in bytes a second, by instance.
        traffic: what `counters` gives, by instance.
    """

    name = "fake"
    isolation = "none: a test"

    def __init__(self, *, is_private: bool = False) -> None:
        self.is_private = is_private
        self.vnics: dict[str, VnicState] = {}
        self.ports: dict[str, set[int]] = {}
        self.caps: dict[str, int] = {}
        self.traffic: dict[str, Traffic] = {}
        self._faults: dict[str, list[Exception]] = defaultdict(list)

    def fail_next(self, op: str, error: Exception) -> None:
        """The next `op` (a method's name) raises `error`."""
        self._faults[op].append(error)

    def create(self, plan: VnicPlan) -> VnicState:
        """As `VnicDriver`."""
        self._trip("create")
        carried = self.traffic.get(plan.instance, NO_TRAFFIC)
        state = VnicState(self.name, plan.instance, plan.address, self.isolation, carried)
        others = {k: vnic.address for k, vnic in self.vnics.items() if k != plan.instance}
        if self.vnics.get(plan.instance, state) != state or plan.address in others.values():
            raise make_error("WRONG_STATE", "another address, or another instance's")
        return self.vnics.setdefault(plan.instance, state)

    def connect(self, instance: str, ports: Collection[int]) -> None:
        """As `VnicDriver`."""
        self._require("connect", instance)
        self.ports[instance] = set(ports)

    def limit(self, instance: str, bytes_per_s: int | None) -> None:
        """As `VnicDriver`."""
        self._require("limit", instance)
        self.caps.pop(instance, None)
        if bytes_per_s is not None:
            if bytes_per_s < 1:
                raise make_error("ARGUMENT", "1 byte a second or more")
            self.caps[instance] = bytes_per_s

    def counters(self) -> Mapping[str, Traffic]:
        """As `VnicDriver`."""
        self._trip("counters")
        return {instance: self.traffic.get(instance, NO_TRAFFIC) for instance in self.vnics}

    def destroy(self, instance: str) -> None:
        """As `VnicDriver`."""
        self._trip("destroy")
        for held in (self.vnics, self.ports, self.caps, self.traffic):
            held.pop(instance, None)

    def _require(self, op: str, instance: str) -> None:
        self._trip(op)
        if instance not in self.vnics:
            raise make_error("NOT_FOUND", "no such vNIC")

    def _trip(self, op: str) -> None:
        if self._faults[op]:
            raise self._faults[op].pop(0)
