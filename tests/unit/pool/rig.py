"""What the tests of the pool's brains share."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator

from eais.binding_limits import NO_LIMITS, BindingLimits
from eais.instance_policy import DEFAULT_POLICY, InstancePolicy
from eais_pool.brain.actions import Publish, Refuse, Reply
from eais_pool.brain.address_plan import AddressPlan
from eais_pool.brain.codec import from_json
from eais_pool.brain.events import ManagerStarted, OpRequested
from eais_pool.brain.ledger_facts import LeaseCharged
from eais_pool.brain.net_records import NetOffer
from eais_pool.brain.reactor import Reactor
from eais_pool.brain.records import Failure, InstanceRecord, OpVerb
from eais_pool.brain.settings import Settings
from eais_pool.brain.view_records import InstanceView
from eais_pool.policy import GRADIENT
from eais_pool.policy.placement.live import policy_of
from eais_pool.testing import FakeHost, FakeShell

SETTINGS = Settings(AddressPlan("127.64.16.0/20"))
VERBS = {verb.value: verb for verb in OpVerb}


def op_id(n: int) -> str:
    """The nth op_id of a test."""
    return str(uuid.UUID(int=n))


def ids() -> Iterator[str]:
    """Instance ids, in order."""
    return (f"ei-{n:016x}" for n in itertools.count(1))


class Pool:
    """A pool's brains with hosts, and front-ends' requests in one line each."""

    def __init__(self, *hosts: FakeHost, settings: Settings = SETTINGS) -> None:
        made = ids()
        self.shell = FakeShell(Reactor(settings, policy_of(GRADIENT), lambda: next(made)))
        self.hosts = {host.name: host for host in hosts}
        self.shell.feed(ManagerStarted("boot-1", self.shell.now))
        for host in hosts:
            self.shell.feed(host.join())
        self._op_ids = (op_id(n) for n in itertools.count(1))

    def ask(
        self,
        verb: str,
        instance: str = "",
        *,
        type: str = "",
        no_start: bool = False,
        tenant: str = "acme",
        frontend: str = "box",
        op: str | None = None,
        policy: InstancePolicy = DEFAULT_POLICY,
        wait_s: float = 0.0,
        limits: BindingLimits = NO_LIMITS,
        vnic: str = "",
        net: NetOffer | None = None,
    ) -> str:
        """Ask for a verb; the op_id."""
        made = op or next(self._op_ids)
        event = OpRequested(
            VERBS[verb],
            tenant,
            frontend,
            made,
            instance,
            type,
            no_start,
            policy=policy,
            wait_s=wait_s,
            limits=limits,
            vnic=vnic,
            net=net,
        )
        self.shell.feed(event)
        return made

    def deliver(self) -> None:
        """Let every host do what it was told."""
        while any(self.shell.deliver(host) for host in self.hosts.values()):
            pass

    def answer(self) -> InstanceView | Failure:
        """The one answer that was given."""
        (reply,) = self.shell.said_of(Reply)
        found = reply.answer.view or reply.answer.failure
        assert found is not None
        return found

    def view(self) -> InstanceView:
        """The one answer, which must be an instance."""
        found = self.answer()
        assert isinstance(found, InstanceView)
        return found

    def failure(self) -> Failure:
        """The one answer, which must be a failure, stored or not."""
        refused = self.shell.said_of(Refuse)
        if refused:
            (refusal,) = refused
            return refusal.failure
        found = self.answer()
        assert isinstance(found, Failure)
        return found

    def published(self) -> list[tuple[str, str]]:
        """What watchers were shown: (instance, state), in order."""
        return [(p.view.id, p.view.state.value) for p in self.shell.said_of(Publish)]

    def instance(self, instance: str) -> InstanceRecord:
        """The record of an instance."""
        return self.shell.state.instances[instance]

    def lines(self) -> list[tuple[int, int, float, float]]:
        """What was charged for, as far as it is over: (epoch, n, began, ended), as it ended."""
        found = (
            from_json(LeaseCharged, payload)
            for kind, payload in self.shell.journal
            if kind == "LeaseCharged"
        )
        return [(f.epoch, line.n, line.began, line.ended) for f in found for line in f.lines]

    def charged(self, instance: str) -> list[tuple[int, int, float]]:
        """What is charged for now: (epoch, n, since)."""
        leases = self.shell.state.leases.get(instance, ())
        return [(lease.epoch, s.n, s.since) for lease in leases for s in lease.charged]

    def attached(self, type: str = "cpu.1") -> InstanceView:
        """An instance made by Attach, IN_USE; nothing is left to be read."""
        self.ask("attach", type=type)
        self.deliver()
        view = self.view()
        self.published()
        return view

    def end(self) -> None:
        """Nothing else was said, and replay gives the same state."""
        self.shell.assert_empty()
