"""A process that makes load: opens targets, calls them as it is told, tells what it counted."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
from numpy.typing import NDArray

from eais_client.load.brain.arrivals import mix, moments, share
from eais_client.load.brain.plan import Driver, Driving, ModelLoad, Open, Phase
from eais_client.load.checking import Prepared, read_prepared
from eais_client.load.generator import orders
from eais_client.load.generator.counts import Counted, Reckoner, to_data
from eais_client.load.generator.tasks import LoopThread, TaskDriver
from eais_client.load.generator.threads import ThreadDriver
from eais_client.load.generator.work import Called, Work
from eais_client.load.record import Seen
from eais_client.load.target import Caller, Target, TargetSpec
from eais_client.load.targets.opening import open_target

TELL_EVERY_S: Final = 1.0
LIVE_TELL_EVERY_S: Final = 0.1
PLANNED_AHEAD_S: Final = 0.005
"""A new plan begins so much after it is heard of at least: what is due before may be sent now."""
STOPPED_PATIENCE_S: Final = 1.0
"""How long answers are waited for after a phase was ended before its time."""
LEAVES_WITHIN_S: Final = 10.0
_MIXED: Final = 65_536
"""Requests whose models are drawn; then the same ones again."""


@dataclass(slots=True)
class Opened:
    """A target, and its models by name."""

    target: Target
    callers: dict[str, Caller] = field(default_factory=dict)


class Child:
    """What the process knows."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._on: OnePhase | None = None
        self._stopped_phase = -1
        self._plans: list[Mapping[str, Any]] = []
        self._lock = threading.Lock()
        self._models: list[ModelLoad] = []
        self._driving = Driving()
        self._targets: list[Opened] = []
        self._prepared: dict[str, Prepared] = {}
        self._loop: LoopThread | None = None

    def stop(self, phase: int) -> None:
        """End the phase of this number, though it may not have begun."""
        with self._lock:
            self._stopped_phase = max(phase, self._stopped_phase)
            if self._on is not None and self._on.number <= phase:
                self._on.work.stop()

    def replan(self, order: Mapping[str, Any]) -> None:
        """Another load from now on, for a phase that is on, or hasn't begun yet."""
        with self._lock:
            if self._on is not None and self._on.number == order["number"]:
                self._on.replan(order, self._driving.seed)
            else:
                self._plans.append(order)

    def tell(self, kind: str, **data: Any) -> None:
        """Say a line."""
        self._out.write(json.dumps({"tell": kind, **data}) + "\n")
        self._out.flush()

    def carry_out(self, order: Mapping[str, Any]) -> None:
        """Do what a line says."""
        try:
            match order["do"]:
                case "open":
                    self._open(order)
                case "prepare":
                    self._prepared = {
                        name: read_prepared(Path(at)) for name, at in order["folders"].items()
                    }
                    self.tell("done")
                case "warm":
                    self._warm(order["target"], order["calls"])
                case "phase":
                    self._phase(order)
        except Exception as error:  # noqa: BLE001 - told, and raised where it was ordered
            self.tell("error", **orders.error_data(error))

    def close(self) -> None:
        """Let go of the targets."""
        for each in self._targets:
            each.target.close()

    def _open(self, order: Mapping[str, Any]) -> None:
        self._models = [orders.model_of(each) for each in order["models"]]
        self._driving = orders.driving_of(order["driving"])
        for each in order["targets"]:
            self._targets.append(self._opened(orders.target_of(each)))
        self.tell(
            "opened",
            signatures=[
                {name: orders.signature_data(one.signature) for name, one in each.callers.items()}
                for each in self._targets
            ],
            abouts=[dict(each.target.about()) for each in self._targets],
        )

    def _opened(self, spec: TargetSpec) -> Opened:
        made = Opened(open_target(spec))
        for model in self._models:
            made.callers[model.name] = made.target.open(model, self._driving.timeout_s)
        return made

    def _called(self, target: int) -> list[Called]:
        callers = self._targets[target].callers
        return [Called(callers[each.name], self._prepared[each.name]) for each in self._models]

    def _warm(self, target: int, calls: int) -> None:
        for called in self._called(target):
            for number in range(calls):
                feeds = called.prepared.feeds[number % len(called.prepared.feeds)]
                called.caller.call(feeds, self._driving.timeout_s)
        self.tell("done")

    def _phase(self, order: Mapping[str, Any]) -> None:
        phase = orders.phase_of(order["phase"])
        index, of, target = order["index"], order["of"], self._targets[order["target"]]
        work = self._work(phase, order["target"], index, of, order["begin"])
        work.live = order["live"]
        self._begin(OnePhase(order["number"], work, index, of))
        driver = self._driver(work)
        measured_from = work.begin + phase.warm_s
        course = Course(self, driver, self._reckoner(measured_from, work), work)
        times = self._times(target) if index == 0 else {}
        driver.start()
        while work.now() < work.last_sending and driver.running and not work.stopped.is_set():
            # In the middle of a second of the phase, so that parts fall into its seconds.
            work.stopped.wait(course.every_s)
            course.tell_part()
        self._wait_for_last(driver, work, course)
        course.tell_part()
        course.tell_unanswered()
        left = self._left(driver, work, phase)
        ended = self._times(target) if index == 0 else {}
        self.tell(
            "ended",
            left=to_data(left),
            seconds=max(0.0, min(work.end, work.now()) - measured_from),
            times={
                name: [asdict(times[name]), asdict(ended[name])] for name in times if name in ended
            },
        )

    def _begin(self, on: OnePhase) -> None:
        with self._lock:
            self._on = on
            for order in self._plans:
                if order["number"] == on.number:
                    on.replan(order, self._driving.seed)
            self._plans = []
            if on.number <= self._stopped_phase:
                on.work.stop()

    def _reckoner(self, measured_from: float, work: Work) -> Reckoner:
        names = [model.name for model in self._models]
        return Reckoner(names, measured_from, lambda: work.end)

    def _work(self, phase: Phase, target: int, index: int, of: int, begin: float) -> Work:
        driving, load = self._driving, phase.load
        due = None
        if isinstance(load, Open):
            all_of = _moments(load, phase.warm_s + phase.seconds, driving.seed)
            due = share(all_of, index, of) + begin
            most = driving.max_in_flight
        else:
            most = load.callers
        callers = most // of + (index < most % of)
        weights = [model.weight for model in self._models]
        return Work(
            models=self._called(target),
            models_of=share(mix(weights, _MIXED, driving.seed), index, of),
            due=due,
            callers=max(callers, 1) if due is not None else callers,
            begin=begin,
            end=begin + phase.warm_s + phase.seconds,
            timeout_s=driving.timeout_s,
            check_share=driving.check_share,
            seed=driving.seed * 1000 + index,
        )

    def _driver(self, work: Work) -> ThreadDriver | TaskDriver:
        if self._driving.driver is Driver.THREADS:
            return ThreadDriver(work)
        if self._loop is None:
            self._loop = LoopThread()
        return TaskDriver(work, self._loop.loop)

    def _wait_for_last(self, driver: ThreadDriver | TaskDriver, work: Work, course: Course) -> None:
        """Until all is answered, or has had its time; told each second."""
        patience = STOPPED_PATIENCE_S if work.stopped.is_set() else work.timeout_s
        until = work.now() + patience
        while driver.running and work.now() < until:
            if work.stopped.is_set():
                until = min(until, work.now() + STOPPED_PATIENCE_S)
            driver.join(min(until, work.now() + course.every_s))
            course.tell_part()
        if isinstance(driver, TaskDriver):
            driver.cancel()

    def _left(self, driver: ThreadDriver | TaskDriver, work: Work, phase: Phase) -> Counted:
        """What was due in all, and what of it nothing was heard of."""
        made, names = Counted(), [model.name for model in self._models]
        measured_from = work.begin + phase.warm_s
        if work.due is not None:
            stop = work.now()
            for number, moment in enumerate(work.due.tolist()):
                if measured_from <= moment <= stop:
                    made.model(names[work.model_of(number)]).due += 1
                    made.interval(int(moment - measured_from)).due += 1
        for request in driver.under_way():
            if request.due >= measured_from:
                made.model(names[request.model]).sent += 1
                made.interval(int(request.due - measured_from)).sent += 1
        return made

    def _times(self, target: Opened) -> dict[str, Any]:
        found = {model.name: target.target.server_times(model) for model in self._models}
        return {name: times for name, times in found.items() if times is not None}


@dataclass(slots=True)
class OnePhase:
    """The phase that is on: its number, its work, and which part of the load this process makes."""

    number: int
    work: Work
    index: int
    of: int
    plans: int = 0

    def replan(self, order: Mapping[str, Any], seed: int) -> None:
        """Another load, from a moment on."""
        self.plans += 1
        work, load = self.work, orders.open_of(order["load"])
        begin = max(order["begin"], work.now() + PLANNED_AHEAD_S)
        all_of = _moments(load, order["seconds"], seed + self.plans)
        due = share(all_of, self.index, self.of) + begin
        work.replan(begin, due, order["begin"] + order["seconds"])


def _moments(load: Open, seconds: float, seed: int) -> NDArray[np.float64]:
    blocks = list(moments(load, seed)) if load.stretches or load.moments else []
    all_of = np.concatenate(blocks) if blocks else np.zeros(0)
    return all_of[all_of < seconds]


class Course:
    """Tells what a driver has noted since the last time."""

    def __init__(
        self, child: Child, driver: ThreadDriver | TaskDriver, reckoner: Reckoner, work: Work
    ) -> None:
        self._child = child
        self._driver = driver
        self._reckoner = reckoner
        self._work = work
        self._seen: set[float] = set()
        self.every_s = LIVE_TELL_EVERY_S if work.live else TELL_EVERY_S

    def tell_part(self) -> None:
        """What is new."""
        notes = [each.taken() for each in self._driver.notes()]
        self._child.tell("part", counted=to_data(self._reckoner.counted(notes)))
        if self._work.live:
            self._tell_seen([each for one in notes for each in one.seen()])

    def tell_unanswered(self) -> None:
        """Of a live phase: each request that was due, and nothing was heard of."""
        work = self._work
        if work.live and work.due is not None:
            now = work.now()
            due = [each for each in work.due.tolist() if each <= now and each not in self._seen]
            self._tell_seen([Seen(each, now - each, "UNANSWERED") for each in due])

    def _tell_seen(self, seen: Sequence[Seen]) -> None:
        self._seen.update(each.due for each in seen)
        if seen:
            self._child.tell("seen", requests=seen)


def main() -> None:
    """Until standard input ends."""
    # What a target prints is no line of ours.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = Child(out)
    ordered: queue.Queue[Mapping[str, Any] | None] = queue.Queue()
    threading.Thread(target=_read, args=(child, ordered), daemon=True, name="orders").start()
    while (order := ordered.get()) is not None:
        child.carry_out(order)
    child.close()


def _read(child: Child, ordered: queue.Queue[Mapping[str, Any] | None]) -> None:
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "stop":
            child.stop(order["number"])
        elif order["do"] == "replan":
            child.replan(order)
        else:
            ordered.put(order)
    child.stop(sys.maxsize)
    ordered.put(None)
    # Whoever gave orders is gone; a target that never answers doesn't keep this process.
    time.sleep(LEAVES_WITHIN_S)
    os._exit(1)
