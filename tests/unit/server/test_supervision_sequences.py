"""Any order of events: a world of processes that do what they may, and what must never happen."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from eais_server.supervision import Limits, State, on_event
from eais_server.supervision import actions as do
from eais_server.supervision import events as on
from eais_server.supervision.blame import LOAD_TIMEOUT, SILENT, STANDS, STUCK
from eais_server.supervision.quarantine import Model

INSTANCES = ("ei-1", "ei-2")
SESSIONS = ("a", "b", "c")
TENANT, MODELS = "acme", {"a": "A", "b": "B", "c": "B"}
SEGV, KILL = 11, 9
pick = st.randoms(use_true_random=False)


@dataclass
class Process:
    """A worker as the world sees it."""

    ready: bool = False
    seat: tuple[str, int] | None = None
    port: int = -1
    bound: bool = False
    loading: str = ""
    loaded: set[str] = field(default_factory=set)
    told: set[type] = field(default_factory=set)
    killed: str = ""


class World(RuleBasedStateMachine):
    """Does what the brain asks for, and checks each action when it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State(Limits())
        self.now = 100.0
        self.turns = 0
        self.live: dict[int, Process] = {}
        self.used: set[int] = set()
        self.adopted: set[int] = set()
        self.ports: dict[tuple[str, int], int] = {}
        self.epochs: dict[str, int] = {}
        self.held: dict[str, bool] = {}
        self.slots: dict[str, set[int]] = {}
        self.unproven: set[tuple[str, int]] = set()
        self.leaving: set[tuple[str, int]] = set()
        self.kept: dict[str, set[str]] = {name: set() for name in INSTANCES}
        self.asked: dict[str, set[str]] = {name: set() for name in INSTANCES}
        self.stopping = self.gone = self.starves = False
        self.tell(on.Tick())

    def tell(self, event: on.Event) -> None:
        found = on_event(self.state, event, self.now)
        for action in found:
            self.obey(action)
        for worker in [action.worker for action in found if isinstance(action, do.AskCpu)]:
            waited = on.CpuTime(waited_s=0.4 * self.starves)
            self.tell(on.CpuSeen(worker, 0.4, waited, waited))

    # what the brain asks for

    def obey(self, action: do.Action) -> None:
        late = (do.RefuseSession, do.Release, do.SlotGone)
        assert not self.gone or isinstance(action, late), f"{action} after the end"
        match action:
            case do.Spawn(worker):
                assert worker not in self.used, "a number is used twice"
                assert not self.stopping, "a process is started by who goes down"
                self.used.add(worker)
                self.live[worker] = Process()
            case do.Adopt():
                self.adopt(action)
            case do.RecordPort(worker, instance, n, port):
                assert self.live[worker].seat == (instance, n)
                assert self.live[worker].port == port
                self.ports[instance, n] = port
            case do.Load(worker, instance, session):
                self.load(worker, instance, session)
            case do.Unload(worker, session):
                self.live[worker].loaded.discard(session)
            case do.Serve(worker):
                self.serve(worker)
            case do.Drain(worker):
                assert do.Serve in self.live[worker].told, "nothing to drain"
                self.live[worker].told.add(do.Drain)
            case do.Kill(worker, why):
                assert do.Kill not in self.live[worker].told, "killed twice"
                self.live[worker].told.add(do.Kill)
                self.live[worker].killed = why
            case _:
                self.conclude(action)

    def adopt(self, action: do.Adopt) -> None:
        process, seat = self.live[action.worker], (action.instance, action.n)
        assert process.ready, "adopted before it was ready"
        assert do.Kill not in process.told
        assert action.worker not in self.adopted, "adopted twice"
        assert seat not in [other.seat for other in self.live.values()], "two in one seat"
        assert action.port == self.ports.get(seat, 0), "its port is another one's"
        assert self.held[action.instance], "adopted for a lease that leaves"
        assert seat not in self.leaving, "adopted for a share that leaves"
        self.adopted.add(action.worker)
        process.seat, process.port = seat, action.port

    def load(self, worker: int, instance: str, session: str) -> None:
        process = self.live[worker]
        assert process.bound, "loads before it is bound"
        assert process.seat is not None
        assert process.seat[0] == instance
        assert not process.loading, "two loads at once"
        assert session not in process.loaded, "loaded twice"
        assert session in self.kept[instance] | self.asked[instance], "nobody wants it"
        fresh = process.seat in self.unproven and session in self.asked[instance]
        assert not fresh, "what is being opened is tried where nothing served yet"
        assert not self.condemned(session), "a quarantined model is loaded"
        process.loading = session

    def serve(self, worker: int) -> None:
        process = self.live[worker]
        assert process.bound
        assert process.seat is not None
        assert self.kept[process.seat[0]] <= process.loaded, "serves before all is loaded"
        assert not process.told & {do.Serve, do.Kill, do.Drain}
        process.told.add(do.Serve)

    def conclude(self, action: do.Action) -> None:
        match action:
            case do.KeepSession(instance, session):
                self.asked[instance].remove(session)
                self.kept[instance].add(session)
            case do.RefuseSession(instance, session, failure):
                self.asked[instance].remove(session)
                assert (failure.reason == "MODEL_QUARANTINED") <= self.condemned(session)
            case do.ForgetSession(instance, session, failure):
                self.kept[instance].remove(session)
                assert (failure.reason == "MODEL_QUARANTINED") <= self.condemned(session)
            case do.AnswerGranted(instance):
                stay = [p for p in self.of(instance) if p.seat not in self.leaving]
                assert all(do.Serve in process.told for process in stay)
            case do.Release(instance, epoch):
                assert not self.of(instance), "released before the exits were seen"
                assert epoch == self.epochs[instance]
                assert not self.asked[instance], "somebody still waits for a load"
                del self.held[instance]
                for n in list(self.slots[instance]):
                    self.forget((instance, n))
            case do.AllGone():
                assert self.stopping
                assert not self.live
                self.gone = True
            case do.Publish(instance):
                assert instance in self.state.leases
            case _:
                self.settle(action)

    def settle(self, action: do.Action) -> None:
        """What becomes of one share."""
        match action:
            case do.SlotProven(instance, n):
                assert any(do.Serve in p.told for p in self.of(instance) if p.seat == (instance, n))
                self.unproven.remove((instance, n))
            case do.SlotFailed(instance, n):
                assert (instance, n) in self.unproven, "a share that served was given up"
                assert (instance, n) not in self.leaving, "given up twice"
                self.leaving.add((instance, n))
            case do.SlotGone(instance, n):
                gone = (instance, n)
                assert gone in self.leaving, "a share went that nobody gave up"
                assert gone not in [p.seat for p in self.live.values()], "gone before its exit"
                self.forget(gone)

    def forget(self, slot: tuple[str, int]) -> None:
        self.slots[slot[0]].discard(slot[1])
        self.leaving.discard(slot)
        self.unproven.discard(slot)

    def of(self, instance: str) -> list[Process]:
        return [p for p in self.live.values() if p.seat and p.seat[0] == instance]

    # what happens

    @rule(instance=st.sampled_from(INSTANCES), slots=st.integers(1, 2), granted=st.booleans())
    def lease(self, instance: str, slots: int, granted: bool) -> None:
        if instance in self.held or self.stopping:
            return
        self.epochs[instance] = self.epochs.get(instance, 0) + 1
        self.held[instance] = True
        asked = tuple(
            on.SlotAsked(n, self.ports.get((instance, n), 0)) for n in range(1, slots + 1)
        )
        self.slots[instance] = set(range(1, slots + 1))
        models = {session: MODELS[session] for session in sorted(self.kept[instance])}
        self.tell(on.LeaseTaken(instance, TENANT, self.epochs[instance], asked, models, granted))

    @rule(instance=st.sampled_from(INSTANCES), grace_s=st.sampled_from([0.0, 1.0]))
    def revoke(self, instance: str, grace_s: float) -> None:
        if instance in self.held:
            self.held[instance] = False
        self.tell(on.LeaseRevoked(instance, grace_s))

    @rule(instance=st.sampled_from(INSTANCES), proven=st.sampled_from([False, False, True]))
    def add(self, instance: str, proven: bool) -> None:
        if not self.held.get(instance) or self.stopping or len(self.slots[instance]) > 3:
            return
        n = next(n for n in range(1, 9) if n not in self.slots[instance])
        self.slots[instance].add(n)
        if not proven:
            self.unproven.add((instance, n))
        port = self.ports.get((instance, n), 0)
        self.tell(on.SlotsAdded(instance, (on.SlotAsked(n, port, 0, proven),)))

    @rule(
        instance=st.sampled_from(INSTANCES),
        n=st.integers(1, 4),
        grace_s=st.sampled_from([0.0, 1.0]),
    )
    def take(self, instance: str, n: int, grace_s: float) -> None:
        if self.held.get(instance) and not self.stopping:
            others = {(instance, other) for other in self.slots[instance] - {n}}
            if not others - self.leaving - self.unproven:
                return  # nobody takes the last one that served
            if n in self.slots[instance]:
                self.leaving.add((instance, n))
        self.tell(on.SlotRevoked(instance, n, grace_s))

    @rule(instance=st.sampled_from(INSTANCES), session=st.sampled_from(SESSIONS))
    def open(self, instance: str, session: str) -> None:
        if session not in self.kept[instance] | self.asked[instance]:
            self.asked[instance].add(session)
            self.tell(on.LoadAsked(instance, session, MODELS[session]))

    @rule(instance=st.sampled_from(INSTANCES), session=st.sampled_from(SESSIONS))
    def drop(self, instance: str, session: str) -> None:
        if session in self.kept[instance]:
            self.kept[instance].discard(session)
            self.tell(on.SessionDropped(instance, session))

    @rule(starves=st.booleans())
    def share_the_cpus(self, starves: bool) -> None:
        self.starves = starves

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.4, 1.0, 5.0, 31.0, 121.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.tell(on.Tick())

    @precondition(lambda self: self.live)
    @rule(random=pick, works=st.sampled_from([True, True, True, False]))
    def work(self, random: st.DataObject, works: bool) -> None:
        self.step(random.choice(sorted(self.live)), works)  # type: ignore[attr-defined]

    def step(self, worker: int, works: bool) -> None:
        """The worker does the next thing that it was told to do, or fails at it."""
        process = self.live[worker]
        failure = on.Failure("MODEL_INVALID", "no")
        if not process.ready:
            process.ready = True
            self.tell(on.WorkerReady(worker, 2))
        elif process.seat and not process.bound:
            self.bind(worker, process, works)
        elif process.loading:
            session, process.loading = process.loading, ""
            if works:
                process.loaded.add(session)
                self.tell(on.SessionLoaded(worker, session, b""))
            else:
                self.tell(on.LoadRefused(worker, session, failure))
        else:
            self.turns += 1
            self.tell(on.Beat(worker, self.turns))

    def bind(self, worker: int, process: Process, works: bool) -> None:
        assert process.seat is not None
        process.bound = works
        if not works:
            if do.Kill not in process.told:
                self.ports[process.seat] = 0
            self.tell(on.BindFailed(worker, on.Failure("PORT", "taken")))
            return
        process.port = process.port or 5000 + worker
        self.tell(on.WorkerBound(worker, process.port))

    @precondition(lambda self: self.live)
    @rule(
        random=pick,
        signal=st.sampled_from([0, 9, 11, 11]),
        reached=st.booleans(),
        stopped=st.booleans(),
    )
    def die(self, random: st.DataObject, signal: int, reached: bool, stopped: bool) -> None:
        worker = random.choice(sorted(self.live))  # type: ignore[attr-defined]
        loaded = sorted(self.live[worker].loaded)
        count = random.randint(0, len(loaded))  # type: ignore[attr-defined]
        running = tuple(random.sample(loaded, count))  # type: ignore[attr-defined]
        self.end(worker, signal, running, reached=reached, stopped=stopped)

    def end(
        self,
        worker: int,
        signal: int,
        running: tuple[str, ...] = (),
        *,
        reached: bool = False,
        stopped: bool = False,
    ) -> None:
        """The worker exits amid runs of these sessions; `reached`: its load had begun."""
        process, before = self.live.pop(worker), self.deaths()
        loading = process.loading if reached else ""
        guilty = self.guilty(process, signal, loading, running)
        if stopped and signal == KILL:
            guilty = None
        how = on.WorkerExited(worker, signal, loading=loading, running=running, stopped=stopped)
        self.tell(how)
        expected = before | ({guilty: before.get(guilty, 0) + 1} if guilty else {})
        assert self.deaths() == expected, "a death was counted against the wrong ones"

    def guilty(
        self, process: Process, signal: int, loading: str, running: tuple[str, ...]
    ) -> str | None:
        """The model whose doing the end is, said in another way than the brain does."""
        hung = process.killed in (LOAD_TIMEOUT, STUCK, SILENT, STANDS)
        if not process.seat or not (signal == SEGV or (signal == KILL and hung)):
            return None
        if process.seat in self.unproven:
            return None
        if process.killed == LOAD_TIMEOUT and signal == KILL:
            running = ()
        sessions = {*running, loading} - {""}
        models = {MODELS[name] for name in sessions}
        known = self.kept[process.seat[0]] | self.asked[process.seat[0]]
        if len(models) != 1 or (loading and running) or not sessions <= known:
            return None
        late = process.killed == LOAD_TIMEOUT and signal == KILL
        return None if late and not loading else models.pop()

    def deaths(self) -> dict[str, int]:
        """Those of each model that has some."""
        return {r.model.digest: r.deaths for r in self.state.quarantine.records()}

    def condemned(self, session: str) -> bool:
        return self.state.quarantine.condemned(Model(TENANT, MODELS[session]))

    @precondition(lambda self: self.live)
    @rule(random=pick)
    def answer(self, random: st.DataObject) -> None:
        worker = random.choice(sorted(self.live))  # type: ignore[attr-defined]
        loaded, before = sorted(self.live[worker].loaded), self.deaths()
        self.tell(on.RunsAnswered(worker, tuple(loaded)))
        for session in loaded:
            if before.get(MODELS[session]) == 1:
                assert MODELS[session] not in self.deaths(), "a run took nothing back"

    @precondition(lambda self: self.live)
    @rule(random=pick)
    def stick(self, random: st.DataObject) -> None:
        self.tell(on.WorkerStuck(random.choice(sorted(self.live))))  # type: ignore[attr-defined]

    @rule(often=st.integers(0, 19))
    def shut_down(self, often: int) -> None:
        if often == 0 and not self.stopping:
            self.stopping = True
            self.tell(on.ShutdownAsked(1.0))

    @invariant()
    def the_state_holds_together(self) -> None:
        self.state.validate()
        assert set(self.state.workers) == set(self.live)
        assert set(self.state.leases) == set(self.held)
        for instance in self.held:
            assert set(self.state.leases[instance].slots) == self.slots[instance]

    def teardown(self) -> None:
        """When nothing fails any more, everything comes to its end."""
        for _ in range(200):
            for worker, process in sorted(self.live.items()):
                if process.told & {do.Kill, do.Drain}:
                    self.end(worker, 9)
                else:
                    self.step(worker, works=True)
            self.now += 0.5
            self.tell(on.Tick())
        assert not any(self.asked.values()), "an Open was never answered"
        if self.stopping:
            assert self.gone
            return
        assert all(self.held.values()), "a revoked lease was never released"
        assert not self.leaving, "a share that was taken back is still there"
        for instance in self.held:
            assert all(seat.serving for seat in self.state.seats(instance)), "it never served"
        assert self.state.spares() == 1


World.TestCase.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
TestWorld = World.TestCase
