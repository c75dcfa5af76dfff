"""Any order of requests, reports, losses and restarts: the invariants hold, replay is the state.

`FakeShell` validates after each event; here a host's commands wait, are obeyed late
or get lost with its link, as they do on a wire.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from random import Random

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eais.binding_limits import NO_LIMITS, BindingLimits
from eais.device_type import DeviceKind
from eais.instance import InstanceState
from eais.instance_policy import DEFAULT_POLICY, InstancePolicy
from eais.neighbours import Neighbours
from eais.ratio import RatioPolicy
from eais_pool.brain.actions import (
    Command,
    Notice,
    Publish,
    Refuse,
    Reopen,
    Reply,
    Send,
)
from eais_pool.brain.codec import from_json
from eais_pool.brain.defrag_records import DefragAsk
from eais_pool.brain.defragmenting import picture_of, planned
from eais_pool.brain.events import (
    Event,
    GrantGoesOn,
    HostLost,
    InstanceNeeded,
    ManagerStarted,
    OpRequested,
    RatioChosen,
    SessionsChanged,
    Tick,
    UsageReported,
    WorkersChanged,
)
from eais_pool.brain.host_verbs import OPERATOR_VERBS
from eais_pool.brain.ledger_facts import LeaseCharged
from eais_pool.brain.ledger_records import UsageRecord
from eais_pool.brain.reactor import Reactor
from eais_pool.brain.records import Answer, Failure, LeasePhase, OpVerb
from eais_pool.policy import GRADIENT
from eais_pool.policy.placement.live import policy_of
from eais_pool.policy.ratio.control import Amount, Decision, RatioController, Seen
from eais_pool.policy.ratio.offers import Offer
from eais_pool.testing import FakeHost, FakeShell, device
from tests.unit.pool.rig import SETTINGS, ids, op_id

TENANTS = [("acme", "box"), ("acme", "box"), ("acme", "laptop"), ("other", "x")]
TYPES = ["cpu", "cpu.2", "cpu.1-8", "gpu.1", "gpu.2", "gpu.1-2", "auto", "npu"]
WAITS = [0.0, 0.0, 5.0, 60.0, 3600.0]
FRONT_END_VERBS = [verb for verb in OpVerb if verb not in OPERATOR_VERBS]
MORE_ATTACH = [
    *FRONT_END_VERBS,
    OpVerb.ATTACH,
    OpVerb.ATTACH,
    OpVerb.DETACH,
    OpVerb.STOP,
    OpVerb.START,
    OpVerb.RESIZE,
    OpVerb.RESIZE,
]


APART = [
    DEFAULT_POLICY,
    DEFAULT_POLICY,
    InstancePolicy(neighbours=Neighbours("web")),
    InstancePolicy(neighbours=Neighbours("web", strict=True)),
]
POLICIES = [
    InstancePolicy(ratio=RatioPolicy.checked(said))
    for said in ["auto", "auto", "auto", "2:0.25", "1:0", "0:1"]
]
LIMITS = [
    *[NO_LIMITS] * 3,
    BindingLimits(ttl_s=40.0),
    BindingLimits(budget=0.005),
    BindingLimits(idle_s=20.0),
    BindingLimits(30.0, 0.01, 25.0),
]
DECISION = RatioController([Offer(DeviceKind.GPU, 125, 10.0, 1.0)]).see(Seen(0))


def hosts() -> dict[str, FakeHost]:
    gpus = [device(f"gpu{n}", "gpu", 1000) for n in range(2)]
    return {
        "h1": FakeHost("h1", isolation=1),
        "h2": FakeHost("h2", [device(milli=2000), *gpus]),
        "h3": FakeHost("h3", [device(milli=3000), *gpus[:1]]),
    }


class PoolMachine(RuleBasedStateMachine):
    """Requests and their repetitions, hosts that obey or fail, links that break, time."""

    def __init__(self) -> None:
        super().__init__()
        made = ids()
        self.shell = FakeShell(Reactor(SETTINGS, policy_of(GRADIENT), lambda: next(made)))
        self.hosts = hosts()
        self.chance = Random(0)
        self.linked: set[str] = set()
        self.commands: list[tuple[str, Command]] = []
        self.past: list[OpRequested] = []
        self.answers: dict[tuple[str, str], Answer] = {}
        self.waiting: set[tuple[str, str]] = set()
        self.op_ids = (op_id(n) for n in itertools.count(1))
        self.feed(ManagerStarted("boot-1"))

    def feed(self, event: Event) -> None:
        self.shell.feed(event)
        for reply in self.shell.said_of(Reply):
            key = (reply.tenant, reply.op_id)
            assert self.answers.setdefault(key, reply.answer) == reply.answer
            self.waiting.discard(key)
        for publish in self.shell.said_of(Publish):
            assert publish.view.tenant == publish.tenant
            assert publish.view.frontend in ("", publish.frontend)
        told: list[Notice | Reopen] = [*self.shell.said_of(Notice), *self.shell.said_of(Reopen)]
        for news in told:
            assert news.tenant == self.shell.state.instances[news.instance].tenant
        for send in self.shell.said_of(Send):
            assert send.host in self.linked
            self.commands.append((send.host, send.command))

    def cut(self, names: Iterable[str]) -> None:
        """Links break: what was on them is lost."""
        self.linked.difference_update(names)
        self.commands = [each for each in self.commands if each[0] in self.linked]

    def link(self, host: str) -> None:
        self.cut([host])
        self.linked.add(host)
        self.feed(self.hosts[host].join())

    @initialize(seed=st.integers(0, 1 << 64))
    def join_all(self, seed: int) -> None:
        # Hypothesis chooses the rules. Its own choices of data prefer the simple ones, which
        # seldom lead far.
        self.chance = Random(seed)
        # No host is lost at the very moment at which the pool first starts: ledger time 0.
        self.shell.now += 1.0
        for host in self.hosts:
            self.link(host)

    @rule()
    def ask(self) -> None:
        self.request(self.made_up())

    @rule()
    def a_busy_hour(self) -> None:
        """What mostly happens, and now and then what doesn't."""
        usual = [self.ask, self.ask, self.ask, self.obey_some, self.obey_some, self.obey_some]
        seldom = [
            self.repeat_one,
            self.operate,
            self.operate,
            self.relink,
            self.lose,
            self.crash,
            self.time_passes,
            self.news,
            self.demand,
            self.demand,
            self.demand,
        ]
        for _ in range(30):
            step = self.chance.choice(usual if self.chance.random() < 0.85 else seldom)
            step()
            self.check()

    def obey_some(self) -> None:
        if self.commands:
            self.obey_one(heard=self.chance.random() < 0.9)

    def repeat_one(self) -> None:
        if self.past:
            self.request(self.chance.choice(self.past))

    def made_up(self) -> OpRequested:
        pick = self.chance
        verb, (tenant, frontend) = pick.choice(MORE_ATTACH), pick.choice(TENANTS)
        made = (verb, next(self.op_ids))
        if verb is OpVerb.CREATE or (verb is OpVerb.ATTACH and pick.random() < 0.5):
            no_start = verb is OpVerb.ATTACH and pick.random() < 0.1
            wait_s = pick.choice(WAITS) if verb is OpVerb.ATTACH else 0.0
            wanted = pick.choice(TYPES)
            policy = pick.choice(POLICIES) if wanted == "auto" else pick.choice(APART)
            asked = (verb, tenant, frontend, made[1], "", wanted, no_start)
            request = OpRequested(*asked, wait_s=wait_s)
            limits = pick.choice(LIMITS) if verb is OpVerb.ATTACH else NO_LIMITS
            return replace(request, policy=policy, limits=limits)
        known = [each for each in self.shell.state.instances.values() if not each.deleted_at]
        if not known or pick.random() < 0.1:
            return OpRequested(made[0], tenant, frontend, made[1], "ei-ffffffffffffffff")
        instance = pick.choice(known)
        if pick.random() < 0.9:
            tenant, frontend = instance.tenant, instance.frontend or frontend
        wanted = pick.choice(TYPES) if verb is OpVerb.RESIZE else ""
        wait_s = pick.choice(WAITS) if verb is OpVerb.START else 0.0
        return OpRequested(verb, tenant, frontend, made[1], instance.id, wanted, wait_s=wait_s)

    @rule()
    def operate(self) -> None:
        """An operator drains a host, or takes it in again, or an instance away."""
        verb, pick = self.chance.choice(OPERATOR_VERBS), self.chance
        known = [*self.shell.state.instances]
        if verb is OpVerb.DEFRAG:
            plan = planned(picture_of(self.shell.state, self.shell.reactor.settings), 4)
            asked = DefragAsk(stop=True) if pick.random() < 0.2 else DefragAsk(plan=plan)
            self.request(OpRequested(verb, "", "ops", next(self.op_ids), defrag=asked))
        elif verb is not OpVerb.FORCE_DETACH:
            host = pick.choice([*self.hosts])
            self.request(OpRequested(verb, "", "ops", next(self.op_ids), host=host))
        elif known and pick.random() < 0.5:
            self.request(OpRequested(verb, "", "ops", next(self.op_ids), pick.choice(known)))

    @precondition(lambda self: self.past)
    @rule()
    def repeat(self) -> None:
        self.repeat_one()

    def request(self, op: OpRequested) -> None:
        key = (op.tenant, op.op_id)
        self.past.append(op)
        self.waiting.add(key)
        self.feed(op)
        if self.shell.said_of(Refuse):
            assert key not in self.answers
            self.waiting.discard(key)

    @precondition(lambda self: self.commands)
    @rule()
    def obey(self) -> None:
        self.obey_one(heard=self.chance.random() < 0.8)

    def obey_one(self, *, heard: bool) -> None:
        """A host carries its oldest command out; its report may be lost with its link."""
        host = self.chance.choice(self.commands)[0]
        index = next(n for n, (name, _) in enumerate(self.commands) if name == host)
        command = self.commands.pop(index)[1]
        fails = self.chance.random() < 0.2
        self.hosts[host].failure = Failure("NO_WORKER", "no") if fails else None
        self.hosts[host].missing = self.chance.choice([0, 0, 1])
        report = self.hosts[host].obey(command)
        if heard:
            self.feed(report)
        else:
            self.cut([host])
            self.feed(HostLost(host))

    @rule()
    def relink(self) -> None:
        """A host comes back, or a new link takes the place of its old one."""
        host = self.chance.choice([*self.hosts])
        if host in self.linked and self.chance.random() < 0.7:
            return
        if self.chance.random() < 0.2:
            self.hosts[host].leases.clear()
        self.link(host)

    @rule()
    def lose(self) -> None:
        if self.chance.random() < 0.7:
            return
        host = self.chance.choice([*self.hosts])
        self.cut([host])
        self.feed(HostLost(host))

    @rule()
    def news(self) -> None:
        for host in self.linked:
            for held in list(self.hosts[host].leases.values()):
                key = (host, held.instance, held.epoch)
                self.feed(UsageReported(*key, UsageRecord(self.chance.randrange(9))))
                self.feed(WorkersChanged(*key, held.workers))
                self.feed(GrantGoesOn(*key))
                self.feed(SessionsChanged(*key, self.chance.choice([(), ("a",), ("a", "b")])))

    @rule()
    def demand(self) -> None:
        """Controllers ask for more, for less and for none; calls come for what is asleep."""
        for instance in list(self.shell.state.instances.values()):
            if self.chance.random() < 0.5:
                self.feed(RatioChosen(instance.id, self.decision()))
            if self.chance.random() < 0.3:
                self.feed(InstanceNeeded(instance.id))

    def decision(self) -> Decision:
        pick = self.chance
        asked = [Amount(), Amount(DeviceKind.CPU, pick.randint(1, 4), 1000)]
        asked.append(Amount(DeviceKind.GPU, pick.randint(1, 9), 125, pick.randint(0, 1)))
        asked.append(Amount(DeviceKind.GPU, pick.randint(1, 2), 1000))
        return replace(DECISION, requested=pick.choice(asked))

    @rule()
    def time_passes(self) -> None:
        self.shell.now += self.chance.choice([0.0, 1.0, 10.0, 31.0, 31.0, 90_000.0])
        line = [*self.shell.state.line]
        gone = frozenset(key for key in line if self.chance.random() < 0.2)
        self.feed(Tick(frozenset(self.linked), gone))
        assert not gone & set(self.shell.state.line)
        kept = self.shell.state.ops
        self.answers = {key: answer for key, answer in self.answers.items() if key in kept}

    @rule()
    def crash(self) -> None:
        """The manager dies: what it had said is said, the rest is in the journal."""
        if self.chance.random() < 0.7:
            return
        self.shell.state = self.shell.replayed()
        self.cut(self.hosts)
        boot = self.chance.choice(["boot-1", "boot-2"])
        if boot != self.shell.state.boot_id:
            self.shell.now = 50.0
        self.feed(ManagerStarted(boot))

    @rule()
    def crash_before_the_journal(self) -> None:
        self.shell.decide(self.made_up())

    @invariant()
    def replay_is_the_state(self) -> None:
        self.shell.assert_empty()

    @invariant()
    def check(self) -> None:
        assert not self.shell.said
        self.who_waits_is_under_way()
        self.nobody_waits_longer_than_a_grant()
        self.a_share_has_one_owner()
        self.below_isolation_2_there_is_one_tenant()
        self.an_instance_has_one_lease_a_host()
        self.hosts_that_drain_know_why()
        self.an_instance_is_charged_once_at_any_time()

    def an_instance_is_charged_once_at_any_time(self) -> None:
        """Of no share twice; and of one lease at a time, though it has two while it is moved."""
        ended: dict[tuple[str, int], float] = {}
        by_lease: dict[str, list[tuple[float, int, float]]] = {}
        for kind, payload in self.shell.journal:
            if kind != "LeaseCharged":
                continue
            fact = from_json(LeaseCharged, payload)
            for line in fact.lines:
                share = (f"{fact.key}", line.n)
                assert ended.get(share, 0.0) <= line.began < line.ended <= fact.at
                ended[share] = line.ended
                spans = by_lease.setdefault(fact.instance, [])
                spans.append((line.began, fact.epoch, line.ended))
        for spans in by_lease.values():
            pairs = itertools.pairwise(sorted(spans))
            assert all(a[1] == b[1] or a[2] <= b[0] for a, b in pairs)

    def hosts_that_drain_know_why(self) -> None:
        """Whatever is left there moves, or it is known why not; or others move first."""
        state = self.shell.state
        for host in state.hosts.values():
            left = [each for each in state.leases_on(host.host) if each.phase is LeasePhase.OPEN]
            left = [each for each in left if not each.coming]  # it is resized first
            moving = [each for each in left if state.moving_lease(each.instance)]
            stuck = [each for each in left if each.stuck]
            if not host.draining:
                together = state.defrag.moving if state.defrag else lambda _: None
                assert all(together(each.instance) is not None for each in moving)
                assert not stuck
            elif len(moving) < SETTINGS.moves_at_once:
                assert {each.key for each in left} == {each.key for each in (*moving, *stuck)}

    def who_waits_is_under_way(self) -> None:
        pending = {key for key, op in self.shell.state.ops.items() if op.answer is None}
        assert self.waiting <= pending

    def nobody_waits_longer_than_a_grant(self) -> None:
        for instance in self.shell.state.instances.values():
            lease = self.shell.state.live_lease(instance.id)
            if instance.state is InstanceState.DRAINING:
                assert any(host in self.linked for host in self.lease_hosts(instance.id))
            waits = (instance.tenant, instance.op_id) in self.shell.state.line
            if instance.op_id and lease is None and not waits:
                assert instance.state is InstanceState.DRAINING

    def lease_hosts(self, instance: str) -> set[str]:
        return {lease.host for lease in self.shell.state.leases[instance]}

    def a_share_has_one_owner(self) -> None:
        """What the hosts really hold fits their devices: nothing is granted before release."""
        for host in self.hosts.values():
            for each in host.devices:
                shares = [s for lease in host.leases.values() for s in lease.shares]
                held = sum(share.milli for share in shares if share.device == each.id)
                assert held <= each.capacity_milli

    def below_isolation_2_there_is_one_tenant(self) -> None:
        for host in self.hosts.values():
            tenants = {lease.tenant for lease in host.leases.values()}
            assert host.isolation >= 2 or len(tenants) <= 1

    def an_instance_has_one_lease_a_host(self) -> None:
        for host in self.hosts.values():
            held = [instance for instance, _ in host.leases]
            assert len(held) == len(set(held))

    def obey_all(self) -> None:
        while self.commands:
            name, command = self.commands.pop(0)
            self.hosts[name].failure = None
            self.feed(self.hosts[name].obey(command))

    def teardown(self) -> None:
        """However it went: with its hosts back, everything settles."""
        for name in self.hosts:
            self.link(name)
        self.obey_all()
        # Whoever has no room even now waited for nothing.
        self.shell.now += 90_000.0
        self.feed(Tick(frozenset(self.linked)))
        self.obey_all()
        assert not self.shell.state.line
        assert not self.waiting
        assert self.shell.state.defrag is None or self.shell.state.defrag.is_over
        for host in self.hosts.values():
            ours = {(each.instance, each.epoch) for each in self.shell.state.leases_on(host.name)}
            assert set(host.leases) == ours
            assert all(not each.lost for each in self.shell.state.leases_on(host.name))
        self.shell.assert_empty()


PoolMachine.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
TestPool = PoolMachine.TestCase
