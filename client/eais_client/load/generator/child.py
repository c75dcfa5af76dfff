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
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TextIO

from eais.errors import UsageError
from eais_client.load.brain.arrivals import share
from eais_client.load.brain.plan import Driver, Driving, ModelLoad, Phase
from eais_client.load.checking import Prepared, read_prepared
from eais_client.load.generator import orders
from eais_client.load.generator.alarm import sleep_exactly
from eais_client.load.generator.counts import Counted, Notes, to_data
from eais_client.load.generator.planned import (
    Planned,
    count_due,
    drawn_seed,
    due_within,
    planned,
)
from eais_client.load.generator.reckoning import Reckoner
from eais_client.load.generator.tasks import LoopThread, TaskDriver
from eais_client.load.generator.threads import ThreadDriver
from eais_client.load.generator.work import OVERDUE_S, Called, Work
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
SWITCH_S: Final = 0.0005
"""After which a thread that is due may take the interpreter from one that counts (5 ms else)."""


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
        self._next: tuple[Phase, Planned]

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
                case "plan":
                    self._plan(order)
                case "phase":
                    self._phase(order)
        except Exception as error:  # noqa: BLE001 - told, and raised where it was ordered
            self.tell("error", **orders.error_data(error))

    def close(self) -> None:
        """Let go of the targets."""
        for each in self._targets:
            # It ends with this process, whatever hinders it.
            with suppress(Exception):
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
            abouts=[_about(each.target) for each in self._targets],
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
        self.tell("done", about=_about(self._targets[target].target))

    def _plan(self, order: Mapping[str, Any]) -> None:
        phase = orders.phase_of(order["phase"])
        driving = replace(self._driving, seed=drawn_seed(self._driving.seed, order["drawn"]))
        made = planned(phase, self._models, driving, order["index"], order["of"])
        self._next = phase, made
        self.tell("done")

    def _phase(self, order: Mapping[str, Any]) -> None:
        phase, plan = self._next
        target, work = self._targets[order["target"]], self._work(order, phase, plan)
        self._begin(OnePhase(order["number"], work, plan))
        driver = self._driver(work)
        measured_from = work.begin + phase.warm_s
        names = [model.name for model in self._models]
        course = Course(self, driver, Reckoner(names, measured_from, lambda: work.ended), work)
        faults: list[str] = []
        times = self._times(target, faults) if plan.index == 0 else {}
        driver.start()
        # All of its time, though nothing more may be due: rates are by that.
        while not work.stopped.is_set() and (left := work.end - work.now()) > 0:
            work.stopped.wait(min(course.every_s, left))
            course.tell_part()
        self._wait_for_last(driver, work, course)
        driver.close()
        course.tell_part()
        course.tell_unanswered()
        rest = self._left(work, measured_from)
        ended = self._times(target, faults) if plan.index == 0 and not faults else {}
        self.tell(
            "ended",
            silent="".join(faults[:1]),
            left=to_data(rest),
            seconds=max(0.0, min(work.ended, work.now()) - measured_from),
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

    def _work(self, order: Mapping[str, Any], phase: Phase, plan: Planned) -> Work:
        driving, begin = self._driving, order["begin"]
        return Work(
            models=self._called(order["target"]),
            models_of=plan.models_of,
            due=None if plan.due is None else plan.due + begin,
            callers=plan.callers,
            begin=begin,
            end=begin + phase.warm_s + phase.seconds,
            timeout_s=driving.timeout_s,
            check_share=driving.check_share,
            seed=driving.seed * 1000 + plan.index,
            measured_from=begin + phase.warm_s,
            live=order["live"],
        )

    def _driver(self, work: Work) -> ThreadDriver | TaskDriver:
        if self._driving.driver is Driver.THREADS:
            return ThreadDriver(work)
        if self._loop is None:
            self._loop = LoopThread()
        return TaskDriver(work, self._loop.loop)

    def _wait_for_last(self, driver: ThreadDriver | TaskDriver, work: Work, course: Course) -> None:
        """Until all is answered, or has had its time; told each second."""
        until = work.last_sending + work.timeout_s + 2 * OVERDUE_S
        while driver.running and work.now() < until:
            if work.stopped.is_set():
                until = min(until, work.now() + STOPPED_PATIENCE_S)
            driver.join(min(until, work.now() + course.every_s))
            course.tell_part()

    def _left(self, work: Work, measured_from: float) -> Counted:
        """What was due in all, and what of it nothing was heard of."""
        made, names = Counted(), [model.name for model in self._models]
        if work.due is not None:
            measured = measured_from, min(work.ended, work.now())
            count_due(made, work.due, work.models_of, names, measured)
        for request in list(work.under_way.values()):
            if request.due >= measured_from:
                made.model(names[request.model]).sent += 1
                made.interval(int(request.due - measured_from)).sent += 1
        return made

    def _times(self, target: Opened, faults: list[str]) -> dict[str, Any]:
        """The target's own account; what hinders it is no reason to say nothing of the phase."""
        try:
            found = {model.name: target.target.server_times(model) for model in self._models}
        except Exception as error:  # noqa: BLE001 - a target's, told
            told = orders.error_data(error)
            faults.append(f"the target's own times aren't known: {told['reason']}: {told['text']}")
            return {}
        return {name: times for name, times in found.items() if times is not None}


def _about(target: Target) -> dict[str, str]:
    """What it says of itself, as text."""
    try:
        return {str(name): str(said) for name, said in target.about().items()}
    except Exception as error:
        text = f"{type(target).__name__}.about(): {type(error).__name__}: {error}"
        raise UsageError("ARGUMENT", text) from error


@dataclass(slots=True)
class OnePhase:
    """The phase that is on: its number, its work, and which part of the load this process makes."""

    number: int
    work: Work
    plan: Planned
    plans: int = 0

    def replan(self, order: Mapping[str, Any], seed: int) -> None:
        """Another load, from a moment on."""
        self.plans += 1
        work, load = self.work, orders.open_of(order["load"])
        all_of = due_within(load, order["seconds"], seed + self.plans)
        # A plan of millions takes a moment to make: what would have been due then isn't late.
        begin = max(order["begin"], work.now() + PLANNED_AHEAD_S)
        due = share(all_of, self.plan.index, self.plan.of) + begin
        work.replan(begin, due, begin + order["seconds"])


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
        given_up = self._work.given_up()
        self._driver.let_go(given_up)
        overdue = Notes()
        for request in given_up:
            request.give_up(overdue)
        notes = [overdue, *(each.taken() for each in self._driver.notes())]
        self._child.tell("part", counted=to_data(self._reckoner.counted(notes)))
        if self._work.live:
            self._tell_seen([each for one in notes for each in one.seen()])

    def tell_unanswered(self) -> None:
        """Of a live phase: each request that was due, and nothing was heard of."""
        work = self._work
        if work.live and work.due is not None:
            now, until = work.now(), work.ended
            due = [each for each in work.due.tolist() if each <= until and each not in self._seen]
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
    sys.setswitchinterval(SWITCH_S)
    sleep_exactly()
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
