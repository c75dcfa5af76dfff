"""A life-cycle scenario, done: each step timed, with what became of the requests meanwhile.

Whatever happens, what it attached is detached in the end, and hosts that it drained take grants
again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from eais.errors import DeadlineExceeded, EaisError
from eais_client.load.brain import scenario as steps
from eais_client.load.brain.scenario import Scenario, Step, schedule
from eais_client.load.brain.scenario_figures import (
    Requests,
    StepResult,
    first_right,
    of_requests,
    within,
)
from eais_client.load.record import PhaseRecord, Seen
from eais_client.load.scenario_world import Death, Stopped, Traffic, Watcher, World

SPARE_S = 600.0
"""How much longer than its steps may take the load is planned for."""
HEARS_WITHIN_S = 0.1
LOOK_EVERY_S = 1.0


@dataclass(slots=True)
class Outcome:
    """What came of a scenario.

    Attributes:
        steps: those that were done, and the one that failed, or was under way at the end.
        total: of all requests.
        records: of each time that load was on.
        instance: its id.
        error: why it ended before its last step.
        left: what couldn't be undone, for people.
        interrupted: whether somebody ended it before its time.
    """

    steps: list[StepResult] = field(default_factory=list)
    total: Requests = field(default_factory=lambda: of_requests([], None))
    records: list[PhaseRecord] = field(default_factory=list)
    instance: str = ""
    error: EaisError | None = None
    left: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def clean(self) -> bool:
        """Whether all steps were done, and no request was lost or answered wrongly."""
        through = self.error is None and not self.interrupted
        return through and not (self.left or self.total.lost or self.total.wrong)


@dataclass(frozen=True, slots=True)
class _Done:
    step: Step
    began: float
    seconds: float
    said: str
    failed: bool = False


class ScenarioRun:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario, world: World, watcher: Watcher) -> None:
        self._scenario = scenario
        self._world = world
        self._watcher = watcher
        self._traffic: Traffic | None = None
        self._attached = False
        self._done: list[_Done] = []
        self._seen: list[Seen] = []
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Do it all, and undo what would be left.

        Raises what hinders it before its first step. What hinders a step is its `error`.
        """
        self._world.check(self._scenario)
        outcome, began = self.outcome, self._world.now()
        try:
            for place, step in enumerate(self._scenario.steps):
                self._step(place, step)
        except (Stopped, KeyboardInterrupt):
            outcome.interrupted = True
        except EaisError as error:
            outcome.error = error
        finally:
            self._clear_up()
        self._reckon(began)
        return outcome

    def _step(self, place: int, step: Step) -> None:
        """One step, timed; one that can't be done is told of with its place in the file."""
        self._watcher.stage(step.title)
        if isinstance(step, steps.Warm | steps.Load | steps.Ramp | steps.Kill):
            self._ready()  # so that making ready to call isn't in any step's time
        began = self._world.now()
        try:
            said = self._do(place, step)
            self._check_load()
        except (Stopped, KeyboardInterrupt):
            self._done.append(
                _Done(step, began, self._world.now() - began, "ended before its time")
            )
            raise
        except EaisError as error:
            seconds = self._world.now() - began
            failed = f"{error.reason}: {error.message}"
            self._done.append(_Done(step, began, seconds, failed, failed=True))
            error.message = f"{self._scenario.places[place]}: {error.message}"
            raise
        seconds = self._world.now() - began
        self._done.append(_Done(step, began, seconds, said))
        self._watcher.step(place + 1, len(self._scenario.steps), step.title, seconds, said)

    def _check_load(self) -> None:
        if self._traffic is not None:
            self._traffic.check()

    def _do(self, place: int, step: Step) -> str:
        match step:
            case steps.Load() | steps.Ramp():
                return self._change(place, step)
            case steps.Warm(calls):
                return self._warm(calls)
            case steps.LoadOff():
                return self._end_load()
            case steps.Hold(seconds) | steps.Wait(seconds):
                self._pause_until(self._world.now() + seconds)
                return ""
            case steps.Kill():
                return self._kill(step)
            case steps.Attach():
                return self._attach(step)
        return self._manage(step)

    def _manage(self, step: Step) -> str:
        world, instance = self._world, self.outcome.instance
        match step:
            case steps.Push():
                return world.push(instance)
            case steps.Drain(host, within_s):
                return world.drain(instance, host, within_s)
            case steps.Uncordon(host):
                return world.uncordon(host)
            case steps.Resize(type):
                return world.resize(instance, type)
            case steps.Stop():
                return world.stop(instance)
            case steps.Start():
                return world.start(instance)
        return self._detach()

    def _attach(self, step: steps.Attach) -> str:
        made = self._world.attach(step)
        self.outcome.instance, self._attached = made.instance, not made.before
        return made.said

    def _detach(self) -> str:
        self._end_load()
        self._close_traffic()
        said = self._world.detach(self.outcome.instance)
        self._attached = False
        return said

    def _ready(self) -> Traffic:
        if self._traffic is None:
            self._traffic = self._world.traffic(self.outcome.instance)
        return self._traffic

    def _warm(self, calls: int) -> str:
        began = self._world.now()
        self._ready().warm(calls)
        each_ms = (self._world.now() - began) / calls * 1000
        return f"{calls} calls, {each_ms:.3g} ms each"

    def _change(self, place: int, step: steps.Load | steps.Ramp) -> str:
        left_s = self._scenario.longest_s(place) + SPARE_S
        moment = self._ready().change(
            schedule(self._scenario.steps, place, left_s), self._scenario.load_s(place)
        )
        self._pause_until(moment + step.seconds)
        return ""

    def _pause_until(self, moment: float) -> None:
        """That load died is found soon, however long the step is."""
        while (left_s := moment - self._world.now()) > 0:
            self._world.pause(min(left_s, LOOK_EVERY_S))
            self._check_load()

    def _end_load(self) -> str:
        if self._traffic is None or not self._traffic.on:
            return ""
        self._keep(self._traffic.end())
        return ""

    def _keep(self, record: PhaseRecord) -> None:
        self.outcome.records.append(record)

    def _kill(self, step: steps.Kill) -> str:
        """Until a request that was due after the death was rightly answered."""
        world, traffic = self._world, self._ready()
        death = world.kill(self.outcome.instance, step.victim)
        until = death.sent + step.within_s
        after = world.successor(death, step.within_s)
        if not traffic.on:
            return f"{death.said} killed, {after}; {self._called_after(death, traffic)}"
        answered = self._answered_after(death, traffic, until)
        waited_ms = (answered.due - death.sent) * 1000
        again = f"rightly answered again {waited_ms + answered.took_s * 1000:.0f} ms later"
        which = f"a request due {waited_ms:.0f} ms after the kill, in {answered.took_s * 1000:.0f}"
        return f"{death.said} killed, {after}; {again} ({which} ms)"

    def _called_after(self, death: Death, traffic: Traffic) -> str:
        traffic.warm(1)
        took_ms = (self._world.now() - death.sent) * 1000
        return f"a call made then was answered {took_ms:.0f} ms after the kill"

    def _answered_after(self, death: Death, traffic: Traffic, until: float) -> Seen:
        while (answered := first_right(traffic.requests(), death.gone)) is None:
            traffic.check()
            if self._world.now() > until:
                text = f"no request that was due after {death.said} was killed was rightly answered"
                raise _late(f"{text} within {until - death.sent:g} s")
            traffic.wait_heard(HEARS_WITHIN_S)
            self._world.pause(0.0)
        return answered

    def _clear_up(self) -> None:
        """Undo what would be left; what can't be is said, and hides nothing."""
        if self._traffic is not None and self._traffic.on:
            stop = self._traffic.stop if self.outcome.interrupted else self._traffic.end
            self._try("the load", lambda: self._keep(stop()))
        self._close_traffic()
        if self._attached:
            self._watcher.stage(f"detaching {self.outcome.instance}")
            self._try(self.outcome.instance, lambda: self._world.detach(self.outcome.instance))
        self.outcome.left += self._world.restore()

    def _close_traffic(self) -> None:
        if self._traffic is not None:
            self._seen += self._traffic.requests()
            self._traffic.close()
            self._traffic = None

    def _try(self, what: str, undo: Callable[[], object]) -> None:
        try:
            undo()
        except EaisError as error:
            self.outcome.left.append(f"{what}: {error.reason}: {error.message}")

    def _reckon(self, began: float) -> None:
        """The figures, now that all that will be answered is."""
        slo_s = self._scenario.slo_s
        self.outcome.total = of_requests(self._seen, slo_s)
        parts = within(self._seen, [done.began for done in self._done])
        self.outcome.steps = [
            StepResult(
                done.step.title,
                done.began - began,
                done.seconds,
                done.said,
                of_requests(part, slo_s),
                done.failed,
            )
            for done, part in zip(self._done, parts, strict=True)
        ]


def _late(text: str) -> EaisError:
    return DeadlineExceeded("DEADLINE_EXCEEDED", text)
