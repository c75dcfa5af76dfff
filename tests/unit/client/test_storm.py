"""Client brains against the worker's own queue and admission, under virtual time: no storms."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from math import inf

import pytest

from eais.errors import EaisError, make_error
from eais_client.brain import call_events as ev
from eais_client.brain.call_state import State
from eais_client.brain.calls import on_event
from eais_client.instances import Address, Worker
from eais_server.worker.admission import Admission, Promises, Prospect, busy
from eais_server.worker.queue import RunQueue

LINE_S = 0.0005
SERVICE_S = 0.01
GONE = make_error("WORKER_DIED", "gone")
REFUSED = make_error("HOST_UNREACHABLE", "no answer")


@dataclass
class World:
    """Things that happen, in order of time."""

    now: float = 0.0
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._numbers), what))

    def run(self, until: float) -> None:
        while self._due and self._due[0][0] <= until:
            self.now, _, what = heapq.heappop(self._due)
            what()
        self.now = until


class SimWorker:
    """One run thread behind the real queue and the real admission; may be away."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.up = True
        self.arrived = 0
        self.served = 0
        self._queue: RunQueue[SimClient, tuple[SimClient, int, int]] = RunQueue(1024)
        self._admission = Admission(0.1)
        self._promises: dict[SimClient, Promises] = {}
        self._busy_until = 0.0

    def take(self, client: SimClient, call: int, stream: int) -> None:
        self.arrived += 1
        if not self.up:
            return
        left_s = max(0.0, self._busy_until - self.world.now)
        wait_s = left_s + self._queue.ahead_s(client, client, SERVICE_S)
        idle = not len(self._queue) and not left_s
        first = not self._queue.waiting(client)
        late_s = self._admission.late_s(Prospect(wait_s, SERVICE_S, inf, first, idle))
        if late_s > 0:
            promises = self._promises.setdefault(client, Promises())
            error = busy(promises.next_s(late_s, SERVICE_S, self.world.now))
            told_s = int(error.metadata["push_back_ms"]) / 1000
            event = ev.Refused(call, stream, error, told_s)
            self.world.after(LINE_S, lambda: client.tell(event))
            return
        self._queue.offer(client, client, (client, call, stream), SERVICE_S)
        self._next()

    def _next(self) -> None:
        if self._busy_until > self.world.now or not self.up:
            return
        job = self._queue.take(lambda _: True)
        if job is not None:
            self._busy_until = self.world.now + SERVICE_S
            self.world.after(SERVICE_S, lambda: self._done(*job))

    def _done(self, client: SimClient, call: int, stream: int) -> None:
        if self.up:
            self.served += 1
            self.world.after(LINE_S, lambda: client.tell(ev.Answered(call)))
        self._next()

    def die(self) -> None:
        self.up = False
        while self._queue.take(lambda _: True) is not None:
            pass


class SimClient:
    """A client brain, whose streams open or not as the worker is up."""

    def __init__(self, world: World, worker: SimWorker, seed: int) -> None:
        self.world, self.worker = world, worker
        self.state = State("ei-1", random.Random(seed).random)
        self.sends = self.connects = self.submitted = self.answered = 0
        self.failed: list[EaisError] = []
        self.on_answer: Callable[[], None] = lambda: None
        place = Worker(
            1, Address("127.0.0.1", 7001, "1.ei-1.pool.internal"), serving=True, incarnation=1
        )
        self._endpoints = ev.Endpoints(1, (place,), found=True)
        self.tell(self._endpoints)
        self.tell(ev.SessionOpened("s", 1))

    def submit(self) -> None:
        self.submitted += 1
        self.tell(ev.Submitted(self.submitted, "s"))

    def tell(self, event: ev.Event) -> None:
        for action in on_event(self.state, event, self.world.now):
            self._act(action)

    def _act(self, action: ev.Action) -> None:
        match action:
            case ev.Send(call, stream, _):
                self.sends += 1
                self.world.after(LINE_S, lambda: self.worker.take(self, call, stream))
            case ev.Connect(stream, _):
                self.connects += 1
                self.world.after(0.002, lambda: self._connected(stream))
            case ev.Find():
                self.world.after(0.002, lambda: self.tell(self._endpoints))
            case ev.WakeAt(at):
                self.world.after(max(0.0, at - self.world.now), lambda: self.tell(ev.Tick()))
            case ev.Complete():
                self.answered += 1
                self.on_answer()
            case ev.Fail(_, error):
                self.failed.append(error)
            case _:
                raise AssertionError(action)

    def _connected(self, stream: int) -> None:
        up = self.worker.up
        self.tell(ev.StreamOpened(stream) if up else ev.StreamBroken(stream, REFUSED))

    def cut(self) -> None:
        for link in list(self.state.links):
            if link.stream:
                self.tell(ev.StreamBroken(link.stream, GONE))


def closed_loop(clients: list[SimClient], callers: int) -> None:
    for client in clients:
        client.on_answer = client.submit
        for _ in range(callers):
            client.submit()


def test_many_callers_of_a_busy_worker_send_hardly_more_than_it_answers() -> None:
    world = World()
    worker = SimWorker(world)
    clients = [SimClient(world, worker, seed) for seed in range(10)]
    closed_loop(clients, callers=50)
    world.run(5.0)
    begun, sent = worker.served, worker.arrived
    world.run(65.0)
    assert worker.served - begun >= 0.99 * 60 / SERVICE_S
    assert worker.arrived - sent <= 1.15 * (worker.served - begun)
    assert not [error for client in clients for error in client.failed]
    answers = [client.answered for client in clients]
    assert max(answers) <= 1.2 * min(answers)


def test_one_process_with_many_callers_is_never_refused_for_long() -> None:
    world = World()
    worker = SimWorker(world)
    client = SimClient(world, worker, 1)
    closed_loop([client], callers=500)
    world.run(120.0)
    assert worker.served >= 0.99 * 120 / SERVICE_S
    assert client.sends <= 1.15 * client.answered + 500
    assert not client.failed


def test_a_worker_that_is_away_for_eight_seconds_is_not_stormed() -> None:
    world = World()
    worker = SimWorker(world)
    clients = [SimClient(world, worker, seed) for seed in range(20)]
    rng = random.Random(3)
    for client in clients:
        for _ in range(120):  # 4 a second each: all together 80 % of the worker's time
            world.after(rng.uniform(0.0, 30.0), client.submit)
    world.run(10.0)
    worker.die()
    for client in clients:
        client.cut()
    away_from = [client.connects for client in clients]
    world.run(18.0)
    assert max(c.connects - was for c, was in zip(clients, away_from, strict=True)) <= 30
    worker.up = True
    served = worker.served
    world.run(20.0)
    assert worker.served - served >= 0.8 * 1 / SERVICE_S  # at work again within a second
    world.run(90.0)
    assert not [error for client in clients for error in client.failed]
    assert sum(c.answered for c in clients) == sum(c.submitted for c in clients) == 2400
    assert sum(c.sends for c in clients) <= 1.1 * 2400


@pytest.mark.parametrize("callers", [1, 5, 50])
def test_a_neighbour_with_many_more_callers_gets_no_more_of_the_worker(callers: int) -> None:
    world = World()
    worker = SimWorker(world)
    victim, noisy = SimClient(world, worker, 1), SimClient(world, worker, 2)
    closed_loop([victim], callers=2)
    closed_loop([noisy], callers=50 * callers)
    world.run(20.0)
    assert victim.answered >= 0.45 * worker.served
