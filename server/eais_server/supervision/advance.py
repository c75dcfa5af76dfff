"""What follows from the state, whatever happened last. (Brain)"""

from __future__ import annotations

from collections.abc import Iterator

from eais_server.supervision import actions as do
from eais_server.supervision.bad_devices import give_up_bad
from eais_server.supervision.checks import begin_checks, wanted_checks
from eais_server.supervision.device import DeviceHealth
from eais_server.supervision.giving_up import LOADS, give_up
from eais_server.supervision.held import Held, Session, Slot, Suspect, Worker
from eais_server.supervision.leaving import kill
from eais_server.supervision.life import WORKER_TABLE, WorkerEvent, WorkerState
from eais_server.supervision.state import State


def advance(state: State, now: float) -> list[do.Action]:
    """Check devices, seat spares, load, serve, tell, release and spawn, in that order."""
    found: list[do.Action] = []
    found += give_up_bad(state, now)
    found += begin_checks(state, now)
    for held in list(state.leases.values()):
        found += _seat_spares(state, held, now)
        found += _name_suspects(state, held)
        found += _give_up_refused(state, held)
        found += _feed(state, held, now)
        found += _keep_loaded(state, held)
        found += _tell(state, held)
        found += _release(state, held)
    return [*found, *_spawn(state, now), *_finish(state)]


def _needy(state: State, held: Held, now: float) -> list[Slot]:
    if held.releasing or state.stopping:
        return []
    free = (s for s in held.slots.values() if not s.worker and not s.leaving)
    fit = (slot for slot in free if state.health(slot) is DeviceHealth.HEALTHY)
    return [slot for slot in fit if now >= slot.retry_at]


def _seat_spares(state: State, held: Held, now: float) -> Iterator[do.Action]:
    spares = (w for w in list(state.workers.values()) if w.state is WorkerState.SPARE)
    for slot, worker in zip(_needy(state, held, now), spares, strict=False):
        worker.state = WORKER_TABLE.after(worker.state, WorkerEvent.ADOPT)
        slot.worker, slot.incarnation = worker.id, slot.incarnation + 1
        slot.level = worker.level
        worker.seat, worker.incarnation = (held.instance, slot.n), slot.incarnation
        worker.since, worker.deadline = now, now + state.limits.adopt_timeout_s
        yield do.Adopt(worker.id, held.instance, slot.n, slot.incarnation, slot.port)


def _feed(state: State, held: Held, now: float) -> Iterator[do.Action]:
    """Give each worker its next session; have it serve once it has all that are kept.

    One that was loading beside runs when a worker died is loaded before it serves, too: alone.
    An unproven slot's isn't given what is being opened: whether that can be is for others to say.
    """
    for worker in state.of(held):
        if worker.state not in LOADS or worker.loading:
            continue
        slot = _slot(held, worker)
        wanted = [s for s in held.wanted(slot.n) if s.id not in worker.loaded]
        if not slot.proven:
            wanted = [s for s in wanted if s.kept]
        first = [s for s in wanted if s.kept or s.suspect_load]
        if worker.state is WorkerState.LOADING and not first:
            worker.state = WORKER_TABLE.after(worker.state, WorkerEvent.SERVE)
            yield do.Serve(worker.id)
            yield from _prove(held, worker)
        for session in [*first, *wanted][:1]:
            worker.loading = session.id
            worker.deadline = now + state.limits.load_timeout_s
            yield do.Load(worker.id, held.instance, session.id)


def _slot(held: Held, worker: Worker) -> Slot:
    assert worker.seat is not None
    return held.slots[worker.seat[1]]


def _prove(held: Held, worker: Worker) -> Iterator[do.Action]:
    slot = _slot(held, worker)
    if not slot.proven:
        slot.proven = True
        yield do.SlotProven(held.instance, slot.n)


def _name_suspects(state: State, held: Held) -> Iterator[do.Action]:
    """Have suspects run alone, those first that are least likely to have done it."""

    def distrust(session: Session) -> tuple[int, bool]:
        return state.quarantine.deaths(held.model_of(session)), not session.answered

    suspects = sorted((s for s in held.sessions.values() if s.suspect_run), key=distrust)
    hold_s = state.limits.suspect_hold_s
    told = tuple(Suspect(s.id, hold_s if any(distrust(s)) else 0.0) for s in suspects)
    for worker in state.of(held):
        if worker.state in LOADS and worker.suspects != told:
            worker.suspects = told
            yield do.NameSuspects(worker.id, told)


def _give_up_refused(state: State, held: Held) -> list[do.Action]:
    """Sessions that no worker can have: what the first of them refuses it with is told."""
    found: list[do.Action] = []
    for session in list(held.sessions.values()):
        deciding = _deciding(held, session)
        if deciding and all(slot.n in session.refused for slot in deciding):
            failure = session.refused[min(slot.n for slot in deciding)]
            found += give_up(state, held, session, failure)
    return found


def _deciding(held: Held, session: Session) -> list[Slot]:
    """The slots that say whether the session can be had.

    An unproven one has to load what is kept, and isn't asked for what isn't. What is opened
    while shares were added, and those that they replace are still here, must do without those.
    """
    staying = [slot for slot in held.slots.values() if not slot.leaving]
    if session.kept:
        return staying
    proven = [slot for slot in staying if slot.proven]
    return [slot for slot in proven if slot.added] or proven


def _keep_loaded(state: State, held: Held) -> Iterator[do.Action]:
    """A session is open when all workers that serve have it, but for those that refused it.

    Those that come load it first.
    """
    serving = [w for w in state.of(held) if w.state is WorkerState.SERVING]
    for session in held.sessions.values():
        having = [w for w in serving if session.id in w.loaded]
        others = [_slot(held, w).n for w in serving if session.id not in w.loaded]
        if not session.kept and having and all(n in session.refused for n in others):
            session.kept = True
            yield do.KeepSession(held.instance, session.id, session.signature)


def _tell(state: State, held: Held) -> Iterator[do.Action]:
    seats = state.seats(held.instance)
    wanted = (seat for seat in seats if not held.slots[seat.n].leaving)
    if not held.granted and not held.releasing and all(seat.serving for seat in wanted):
        held.granted, held.published = True, seats
        yield do.AnswerGranted(held.instance)
    elif held.granted and seats != held.published:
        held.published = seats
        yield do.Publish(held.instance)


def _release(state: State, held: Held) -> Iterator[do.Action]:
    if held.releasing and not any(slot.worker for slot in held.slots.values()):
        del state.leases[held.instance]
        yield do.Release(held.instance, held.epoch, held.failure)


def _spawn(state: State, now: float) -> Iterator[do.Action]:
    """A process for each slot that waits for one, and the spares: start or end some.

    Spares come second: a process that starts takes a core or two from those that are waited for.
    """
    if state.stopping:
        return
    states = [worker.state for worker in state.workers.values()]
    needy = sum(len(_needy(state, held, now)) for held in state.leases.values())
    needy += sum(not device.hosted for device in wanted_checks(state))
    in_a_hurry = needy or any(state.is_waited_for(w, now) for w in state.workers.values())
    wanted = needy + state.limits.spares * (not in_a_hurry)
    spares = [w for w in state.workers.values() if w.state is WorkerState.SPARE]
    for worker in spares[needy + state.limits.spares :]:
        yield kill(worker, "there are more spares than are wanted")
    if now >= state.spawn_at:
        for _ in range(wanted - len(spares) - states.count(WorkerState.SPAWNING)):
            yield _start(state, now)


def _start(state: State, now: float) -> do.Action:
    state.last_worker += 1
    deadline = now + state.limits.spawn_timeout_s
    state.workers[state.last_worker] = Worker(state.last_worker, now, deadline)
    return do.Spawn(state.last_worker)


def _finish(state: State) -> Iterator[do.Action]:
    if state.stopping and not state.workers and not state.stopped:
        state.stopped = True
        yield do.AllGone()
