"""The brains' world in memory: hosts that obey at once, and a shell without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from eais.net.plan import KERNEL_DRIVERS
from eais_pool.brain.actions import (
    Action,
    CheckDevice,
    Command,
    Grant,
    Journal,
    Revoke,
    Send,
)
from eais_pool.brain.codec import from_json, to_json
from eais_pool.brain.events import (
    DeviceReported,
    Event,
    GrantAccepted,
    GrantFailed,
    HostJoined,
    Released,
    ShareFailed,
    SharesGone,
)
from eais_pool.brain.facts import FACTS
from eais_pool.brain.host_records import DeviceRecord, Endpoint, HostRecord
from eais_pool.brain.invariants import validate
from eais_pool.brain.net_records import NetOffer
from eais_pool.brain.reactor import Reactor
from eais_pool.brain.records import Failure, HeldLease, SharePick, WorkerRecord
from eais_pool.brain.state import PoolState

A = TypeVar("A")


def device(device_id: str = "cpu0", kind: str = "cpu", milli: int = 4000) -> DeviceRecord:
    """A device of `milli` milli-devices that enforces eighths."""
    limit = milli if kind == "cpu" else 1000
    return DeviceRecord(device_id, kind, "fake", 1 << 30, milli, 125, limit, True, "cooperative")


class FakeHost:
    """A back-end as the brains see it: what it holds survives its links.

    Attributes:
        leases: on its disk, by (instance, epoch).
        failure: what the next grants, and shares that are to be added, fail with, if anything.
        missing: how many sessions of the next grants won't be there.
        vnic_address: of all its instances; "": as the pool plans.
        net: what its network agent offers.
        health: what checks of its devices say, and why.
    """

    def __init__(
        self,
        name: str = "h1",
        devices: Sequence[DeviceRecord] = (device(),),
        isolation: int = 2,
        vnic_address: str = "",
        net: NetOffer | None = None,
    ) -> None:
        self.name = name
        self.devices = tuple(devices)
        self.isolation = isolation
        self.vnic_address = vnic_address
        self.net = net
        self.leases: dict[tuple[str, int], HeldLease] = {}
        self.failure: Failure | None = None
        self.missing = 0
        self.health: tuple[str, str] = ("ok", "")

    def join(self) -> HostJoined:
        """Its link comes up."""
        record = HostRecord(
            host=self.name,
            boot_id="boot",
            user_plane=Endpoint("127.0.0.1", 4000),
            isolation=self.isolation,
            isolation_reason="",
            devices=self.devices,
            vnic_driver="host" if self.vnic_address else "loopback",
            vnic_address=self.vnic_address,
            net=self.net,
        )
        return HostJoined(record, tuple(self.leases.values()))

    def obey(self, command: Command) -> Event:
        """Carry a command out, at once; the report that follows."""
        if isinstance(command, CheckDevice):
            return DeviceReported(self.name, command.device, *self.health)
        key = (command.instance, command.epoch)
        if isinstance(command, Revoke) and command.shares:
            return self._taken(key, command.shares)
        if isinstance(command, Revoke):
            self.leases.pop(key, None)
            return Released(self.name, *key)
        if key in self.leases:
            return self._added(key, command)
        if self.failure is not None:
            return GrantFailed(self.name, *key, self.failure)
        workers = tuple(self._worker(command.address, share) for share in command.shares)
        own = command.vnic_driver in KERNEL_DRIVERS
        plane = Endpoint(command.address, 4001) if own else None
        picks = (command.shares, workers)
        held = HeldLease(*key, command.tenant, command.address, *picks, user_plane=plane)
        self.leases[key] = held
        return GrantAccepted(self.name, replace(held, missing=self.missing))

    def _added(self, key: tuple[str, int], command: Grant) -> Event:
        """A grant of a lease that it has: with shares that are new, or just said again."""
        held = self.leases[key]
        here = {share.n for share in held.shares}
        more = tuple(share for share in command.shares if share.n not in here)
        if more and self.failure is not None:
            return ShareFailed(self.name, *key, more[0].n, self.failure)
        workers = tuple(self._worker(command.address, share) for share in more)
        held = replace(held, shares=(*held.shares, *more), workers=(*held.workers, *workers))
        self.leases[key] = held
        return GrantAccepted(self.name, replace(held, missing=self.missing))

    def _taken(self, key: tuple[str, int], numbers: tuple[int, ...]) -> SharesGone:
        held = self.leases.get(key)
        if held is None:
            return SharesGone(self.name, *key, ())
        shares = tuple(share for share in held.shares if share.n not in numbers)
        workers = tuple(worker for worker in held.workers if worker.n not in numbers)
        self.leases[key] = replace(held, shares=shares, workers=workers)
        return SharesGone(self.name, *key, numbers)

    def _worker(self, address: str, share: SharePick) -> WorkerRecord:
        return WorkerRecord(share.n, Endpoint(address, 5000 + share.n), self.isolation, True, 1)


class FakeShell:
    """What the manager's shell does, in memory: decide, journal, apply, then speak.

    Each fact goes through its JSON; after each event the state is validated and
    the caller sees what was said.

    Attributes:
        journal: the kinds and payloads written.
        now: the boot clock, seconds; tests move it.
    """

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.state = PoolState()
        self.journal: list[tuple[str, str]] = []
        self.said: list[Action] = []
        self.now = 1000.0

    def feed(self, event: Event) -> None:
        """Have an event decided and done."""
        self.perform(self.decide(event))

    def decide(self, event: Event) -> list[Action]:
        """What the reactor would do; nothing is done."""
        before = self.state.copy()
        actions = self.reactor.on_event(self.state, event, self.now)
        if self.state != before:
            raise AssertionError(f"deciding {event} changed the state")
        if any(isinstance(action, Journal) for action in actions[1:]):
            raise AssertionError("Journal must come first, and once")
        return actions

    def perform(self, actions: Sequence[Action]) -> None:
        """Do what was decided."""
        for action in actions:
            if isinstance(action, Journal):
                self.journal += [(type(fact).__name__, to_json(fact)) for fact in action.facts]
                for fact in action.facts:
                    self.state.apply(fact)
            else:
                self.said.append(action)
        validate(self.state)

    def replayed(self) -> PoolState:
        """The state that the journal alone makes."""
        state = PoolState()
        for kind, payload in self.journal:
            state.apply(from_json(FACTS[kind], payload))
        return state

    def said_of(self, kind: type[A]) -> list[A]:
        """Take the actions of one kind out of what was said."""
        found: list[A] = [action for action in self.said if isinstance(action, kind)]
        self.said = [action for action in self.said if not isinstance(action, kind)]
        return found

    def deliver(self, host: FakeHost) -> int:
        """Carry commands and reports between `host` and the reactor; how many commands."""
        sent = 0
        while mine := [each for each in self.said_of(Send) if self._is_for(each, host)]:
            sent += len(mine)
            for send in mine:
                self.feed(host.obey(send.command))
        return sent

    def _is_for(self, send: Send, host: FakeHost) -> bool:
        if send.host == host.name:
            return True
        self.said.append(send)
        return False

    def assert_empty(self) -> None:
        """Nothing was said that the test didn't expect, and replay gives the same state."""
        if self.said:
            raise AssertionError(f"also said: {self.said}")
        if self.replayed() != self.state:
            raise AssertionError("replay gives another state")
