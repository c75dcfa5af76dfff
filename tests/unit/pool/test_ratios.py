"""Controllers of instances: load becomes decisions, decisions leases, and back to none."""

from __future__ import annotations

import itertools
from dataclasses import replace

from eais.instance import InstanceState
from eais.instance_policy import InstancePolicy
from eais.ratio import RatioPolicy
from eais_pool.brain.actions import Publish, Reply
from eais_pool.brain.activity import Activities, FrontEndWord
from eais_pool.brain.events import DemandCounted, InstanceNeeded, RatioChosen, Tick
from eais_pool.brain.facts import DEMAND_KIND
from eais_pool.brain.host_records import DeviceRecord
from eais_pool.brain.learning import seen_of
from eais_pool.brain.quotas import Quotas
from eais_pool.brain.ratio_records import DemandSeen
from eais_pool.brain.ratios import Ratios
from eais_pool.brain.records import Failure
from eais_pool.policy.ratio.control import RatioController, replayed
from tests.unit.pool.rig import SETTINGS
from tests.unit.pool.test_auto import CPU, FAST_GPU, GPU, SLOW_CPU, known, pool_of

SLO = InstancePolicy(slo_p99_us=200_000)
QUICK = {"ratio_change_s": 5.0, "ratio_awake_s": 8.0}
_answered = itertools.count()


class Live:
    """A pool with its controllers: seconds go by, in which calls come."""

    def __init__(
        self, policy: InstancePolicy = SLO, cpu: DeviceRecord = CPU, **settings: object
    ) -> None:
        self.pool = pool_of(cpu, GPU, **{**QUICK, **settings})
        self.shell = self.pool.shell
        known(self.pool, *SLOW_CPU, *FAST_GPU)
        self.activities = Activities(lambda: self.shell.now)
        self.ratios = Ratios(replace(SETTINGS, **{**QUICK, **settings}), self.activities)  # type: ignore[arg-type]
        self.answered = 0
        self.seen: list[DemandSeen] = []
        self.chosen: list[RatioChosen] = []
        self.pool.ask("attach", type="auto", policy=policy)
        self.pool.deliver()
        self.name = self.pool.view().id

    def go_by(self, seconds: int, calls: int = 0, waiting: int = 0, *, obeyed: bool = True) -> None:
        for _ in range(seconds):
            self.shell.now += 1.0
            self.answered += calls
            word = FrontEndWord(waiting, 0.5, 4, self.answered)
            self.activities.said("program", self.name, word)
            for event in self.ratios.on_second(self.shell.state, self.shell.now):
                if isinstance(event, DemandCounted):
                    self.seen += event.seen
                else:
                    self.chosen.append(event)
                self.shell.feed(event)
            self.shell.feed(Tick(frozenset({"h1"})))
            if obeyed:
                self.pool.deliver()
        self.shell.said_of(Reply)
        self.shell.said_of(Publish)

    @property
    def has(self) -> list[tuple[str, int]]:
        lease = self.shell.state.live_lease(self.name)
        return sorted((share.device, share.milli) for share in lease.shares) if lease else []

    def kinds(self) -> set[str]:
        return {device for device, _ in self.has}


def test_load_that_grows_brings_more_and_load_that_stops_brings_none() -> None:
    live = Live()
    live.go_by(10, calls=5)
    assert live.has == [("cpu0", 1000)]
    live.go_by(40, calls=400)
    assert "gpu0" in live.kinds()
    live.go_by(60)
    assert live.has == []
    record = live.pool.instance(live.name)
    assert (record.state, record.asleep) == (InstanceState.BOUND, True)
    decisions = live.shell.state.ratios[live.name]
    assert decisions[-1].decision.requested.units == 0
    assert decisions[-1].decision.why
    live.shell.assert_empty()


def test_a_call_that_waits_wakes_it_and_it_goes_on_as_before() -> None:
    live = Live()
    live.go_by(5, calls=5)
    live.go_by(90)
    assert live.has == []
    live.shell.feed(InstanceNeeded(live.name))
    live.pool.deliver()
    live.go_by(20, calls=5, waiting=1)
    assert live.has == [("cpu0", 1000)]


def test_one_that_was_woken_stays_for_the_first_call_to_come() -> None:
    live = Live()
    live.go_by(5, calls=5)
    live.go_by(90)
    assert live.has == []
    asked = len(live.chosen)
    live.activities.wanted.add(live.name)
    live.shell.feed(InstanceNeeded(live.name))
    live.pool.deliver()
    live.go_by(6)  # its session is being opened
    assert live.has == [("cpu0", 1000)]
    assert len(live.chosen) == asked
    live.go_by(20)
    assert live.has == []


def test_what_waits_wakes_it_even_if_nobody_said_that_it_wants() -> None:
    live = Live()
    live.go_by(5, calls=5)
    live.go_by(90)
    live.go_by(4, waiting=3)
    assert live.has == [("cpu0", 1000)]


def test_it_stays_awake_for_as_long_as_was_said() -> None:
    live = Live(ratio_awake_s=50.0)
    live.go_by(5, calls=5)
    live.go_by(40)
    assert live.has == [("cpu0", 1000)]
    live.go_by(30)
    assert live.has == []


def test_least_and_most_hold() -> None:
    policy = replace(SLO, ratio=RatioPolicy.checked("auto", 2, 3, ["cpu"]))
    live = Live(policy)
    live.go_by(120)
    assert live.has == [("cpu0", 1000)] * 2
    live.go_by(30, calls=400)
    assert live.kinds() == {"cpu0"}
    assert len(live.has) <= 3
    assert sum(milli for _, milli in live.has) > 3000


def test_shares_are_of_the_size_that_its_owner_named() -> None:
    ratio = RatioPolicy.checked("auto", 0, 3, ["cpu.1-8", "gpu.1-4"])
    policy = InstancePolicy(slo_p99_us=2_000_000, ratio=ratio)
    live = Live(policy, cpu=replace(CPU, granularity_milli=125))
    live.go_by(20, calls=1)
    assert live.has == [("cpu0", 125)]
    live.go_by(60, calls=60)
    assert {milli for _, milli in live.has} <= {125, 250}
    assert "gpu0" in live.kinds()


def test_what_may_be_late_is_its_owners_to_say_and_else_the_pools() -> None:
    said = replace(SLO, ratio=RatioPolicy.checked("auto", late_target=0.001))
    for policy, late in ((SLO, 0.02), (said, 0.001)):
        live = Live(policy, ratio_late_target=0.02)
        live.go_by(70, calls=5)
        assert {each.basis.economy.late_target for each in live.seen} == {late}


def test_what_is_not_allowed_or_beyond_the_quota_is_not_asked_for() -> None:
    live = Live(quotas=Quotas({"cpu": 3000, "gpu": 0}))
    live.go_by(40, calls=400)
    assert live.has == [("cpu0", 1000)] * 3


def test_only_auto_with_an_slo_or_by_its_own_word_is_controlled() -> None:
    live = Live(InstancePolicy())
    live.go_by(100, calls=400)
    assert not live.chosen
    assert not live.seen
    asked = Live(InstancePolicy(ratio=RatioPolicy.checked("auto")))
    asked.go_by(5, calls=5)
    asked.go_by(90)
    assert asked.has == []


def test_while_something_is_under_way_nothing_else_is_asked_for() -> None:
    live = Live()
    live.go_by(5, calls=5)
    live.go_by(40, calls=400, obeyed=False)
    assert len(live.chosen) == 1
    assert not live.ratios.attach_s
    live.pool.deliver()
    live.go_by(20, calls=400)
    assert "gpu0" in live.kinds()
    assert max(live.ratios.attach_s.values()) > 10


def test_what_fails_is_asked_for_again_after_a_while() -> None:
    live = Live()
    live.go_by(5, calls=5)
    live.pool.hosts["h1"].failure = Failure("PROCESS_FAILED", "it fell over")
    live.go_by(21, calls=400)
    tries = len(live.chosen)
    assert 2 <= tries <= 4
    assert live.shell.state.ratios[live.name][-1].failed == "PROCESS_FAILED: it fell over"
    live.pool.hosts["h1"].failure = None
    live.go_by(12, calls=400)
    assert "gpu0" in live.kinds()


def test_what_was_seen_gives_the_same_decisions_again() -> None:
    live = Live()
    live.go_by(30, calls=5)
    live.go_by(70, calls=400)
    live.go_by(50)
    assert live.seen[0].fresh
    assert sum(len(each.seconds.arrived) for each in live.seen) >= 100
    first = live.seen[0].basis
    controller = RatioController(first.offers, first.economy, first.bounds)
    decisions = []
    for fact in live.seen:
        if fact.basis != first:
            controller.revise(fact.basis.offers, fact.basis.economy, fact.basis.bounds)
        first = fact.basis
        decisions += replayed(controller, seen_of(fact))
    for event in live.chosen:
        if event.decision.second <= len(decisions):
            assert decisions[event.decision.second - 1] == event.decision
    assert any(kind == DEMAND_KIND for kind, _ in live.shell.journal)


def test_an_instance_that_is_gone_is_forgotten_with_what_it_saw() -> None:
    live = Live()
    live.go_by(10, calls=5)
    live.pool.ask("detach", live.name)
    live.pool.deliver()
    live.go_by(1)
    assert len(live.seen) >= 1
    before = len(live.seen)
    live.go_by(5)
    assert len(live.seen) == before
