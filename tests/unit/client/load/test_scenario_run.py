"""Steps in their order, and what becomes of a scenario that can't go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from eais.errors import EaisError, RemoteError, Unavailable, UsageError
from eais_client.load.brain import scenario as steps
from eais_client.load.brain.plan import Open, Phase, Stretch
from eais_client.load.brain.scenario import Scenario, Step
from eais_client.load.record import PhaseRecord, Seen
from eais_client.load.scenario_run import Outcome, ScenarioRun
from eais_client.load.scenario_world import Attached, Death, Stopped


@dataclass
class FakeTraffic:
    """Answers each request in 10 ms; one is due in the middle of each second while load is on."""

    world: FakeWorld
    on: bool = False
    broken: EaisError | None = None
    asked: list[Sequence[Stretch]] = field(default_factory=list)
    expected: list[float] = field(default_factory=list)
    closed: bool = False
    answers: bool = True
    due: list[float] = field(default_factory=list)

    def check(self) -> None:
        if self.broken is not None:
            error, self.broken, self.on = self.broken, None, False
            raise error

    def warm(self, calls: int) -> None:
        self.world.passes(0.5 * calls)

    def change(self, stretches: Sequence[Stretch], expected_s: float) -> float:
        self.asked.append(stretches)
        self.expected.append(expected_s)
        self.on = True
        return self.world.now()

    def end(self) -> PhaseRecord:
        self.on = False
        return PhaseRecord("ei-1", Phase("x", Open(), 1.0), 0.0)

    def stop(self) -> PhaseRecord:
        return self.end()

    def requests(self) -> list[Seen]:
        fault = "" if self.answers else "NO_WORKER"
        return [Seen(each, 0.01, fault) for each in self.due]

    def wait_heard(self, seconds: float) -> None:
        self.world.passes(1.0)

    def close(self) -> None:
        assert not self.closed
        self.closed = True


@dataclass
class FakeWorld:
    """Time passes only by what is done; `said` has the verbs."""

    at: float = 100.0
    said: list[str] = field(default_factory=list)
    failures: dict[str, EaisError] = field(default_factory=dict)
    at_pause: Callable[[], None] | None = None
    made: list[FakeTraffic] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    answers: bool = True

    def passes(self, seconds: float) -> None:
        for second in range(int(self.at), int(self.at + seconds)):
            for traffic in self.made:
                if traffic.on:
                    traffic.due.append(second + 0.5)
        self.at += seconds

    def _does(self, verb: str, *words: object) -> str:
        self.said.append(" ".join([verb, *map(str, words)]))
        if verb in self.failures:
            raise self.failures.pop(verb)
        self.passes(1.0)
        return f"{verb} done"

    def now(self) -> float:
        return self.at

    def pause(self, seconds: float) -> None:
        if seconds and self.at_pause is not None:
            self.at_pause()
        self.passes(seconds)

    def check(self, scenario: Scenario) -> None:
        if "check" in self.failures:
            raise self.failures["check"]

    def attach(self, step: steps.Attach) -> Attached:
        return Attached("ei-1", self._does("attach", step.type), before=bool(step.instance))

    def push(self, instance: str) -> str:
        return self._does("push", instance)

    def traffic(self, instance: str) -> FakeTraffic:
        self.passes(3.0)
        self.made.append(FakeTraffic(self, answers=self.answers))
        return self.made[-1]

    def kill(self, instance: str, victim: steps.Victim) -> Death:
        self._does("kill", instance, victim)
        return Death(f"{victim} 7", "eais-worker", frozenset({7}), self.at, self.at + 0.1)

    def successor(self, death: Death, within_s: float) -> str:
        return "8 in its place"

    def drain(self, instance: str, host: str, within_s: float) -> str:
        return self._does("drain", host)

    def uncordon(self, host: str) -> str:
        return self._does("uncordon", host)

    def resize(self, instance: str, type: str) -> str:
        return self._does("resize", type)

    def stop(self, instance: str) -> str:
        return self._does("stop")

    def start(self, instance: str) -> str:
        return self._does("start")

    def detach(self, instance: str) -> str:
        return self._does("detach", instance)

    def restore(self) -> Sequence[str]:
        self.said.append("restore")
        return self.left


class Silent:
    """Nobody watches."""

    def stage(self, text: str) -> None:
        """Nothing."""

    def step(self, number: int, of: int, title: str, seconds: float, said: str) -> None:
        """Nothing."""


def outcome_of(world: FakeWorld, *asked: Step) -> Outcome:
    places = tuple(f"s.yaml:{number}: step {number}" for number in range(1, len(asked) + 1))
    scenario = Scenario("x", asked, places, slo_s=0.001)
    return ScenarioRun(scenario, world, Silent()).run()


ATTACH = steps.Attach("cpu.1")


def test_requests_are_of_the_steps_in_which_they_were_due() -> None:
    world = FakeWorld()
    outcome = outcome_of(
        world,
        ATTACH,
        steps.Push(),
        steps.Warm(2),
        steps.Load(1.0),
        steps.Hold(4.0),
        steps.Resize("cpu.2"),
        steps.Detach(),
    )
    assert world.said == [
        "attach cpu.1",
        "push ei-1",
        "resize cpu.2",
        "detach ei-1",
        "restore",
    ]
    told = [
        (step.title, step.began_s, step.seconds, step.requests.requests) for step in outcome.steps
    ]
    assert told == [
        ("attach cpu.1", 0.0, 1.0, 0),
        ("push", 1.0, 1.0, 0),
        # Making ready to call took three seconds, and is in no step's time.
        ("warm", 5.0, 1.0, 0),
        ("load 1/s", 6.0, 0.0, 0),
        ("hold 4 s", 6.0, 4.0, 4),
        ("resize cpu.2", 10.0, 1.0, 1),
        ("detach", 11.0, 1.0, 0),
    ]
    assert (outcome.total.requests, outcome.total.late) == (5, 5)
    assert outcome.clean
    assert len(outcome.records) == 1
    assert world.made[0].closed


def test_a_ramp_begins_beside_the_load_and_lasts_as_long_as_it_says() -> None:
    world = FakeWorld()
    outcome = outcome_of(world, ATTACH, steps.Load(5.0), steps.Ramp(5.0, 9.0, 4.0), steps.LoadOff())
    (traffic,) = world.made
    assert traffic.expected == [4.0, 4.0]
    (flat,), (ramp, after) = traffic.asked
    assert (flat.from_per_s, flat.to_per_s) == (5.0, 5.0)
    assert (ramp.seconds, ramp.from_per_s, ramp.to_per_s) == (4.0, 5.0, 9.0)
    assert after.from_per_s == after.to_per_s == 9.0
    assert outcome.steps[2].seconds == 4.0


def test_what_was_attached_is_detached_when_a_step_fails() -> None:
    world = FakeWorld(failures={"resize": UsageError("NO_DEVICE", "there is no room")})
    outcome = outcome_of(world, ATTACH, steps.Load(1.0), steps.Resize("cpu.9"), steps.Hold(9.0))
    assert outcome.error is not None
    assert outcome.error.message == "s.yaml:3: step 3: there is no room"
    assert [step.failed for step in outcome.steps] == [False, False, True]
    assert outcome.steps[2].said == "NO_DEVICE: there is no room"
    assert world.said[-2:] == ["detach ei-1", "restore"]
    assert len(outcome.records) == 1
    assert not outcome.clean


def test_what_was_attached_before_stays_so() -> None:
    world = FakeWorld()
    outcome = outcome_of(world, steps.Attach(instance="ei-1"), steps.Push())
    assert outcome.clean
    assert world.said == ["attach ", "push ei-1", "restore"]


def test_what_can_not_be_attached_is_not_detached() -> None:
    world = FakeWorld(failures={"attach": UsageError("NO_DEVICE", "there is no room")})
    outcome = outcome_of(world, ATTACH)
    assert outcome.error is not None
    assert world.said == ["attach cpu.1", "restore"]


def test_what_can_not_be_undone_is_said_beside_what_went_wrong() -> None:
    world = FakeWorld(
        failures={
            "resize": UsageError("NO_DEVICE", "no room"),
            "detach": Unavailable("POOL_UNREACHABLE", "nobody answers"),
        },
        left=["h2 is still cordoned"],
    )
    outcome = outcome_of(world, ATTACH, steps.Resize("cpu.9"))
    assert outcome.error is not None
    assert outcome.error.reason == "NO_DEVICE"
    assert outcome.left == ["ei-1: POOL_UNREACHABLE: nobody answers", "h2 is still cordoned"]


@pytest.mark.parametrize("how", [Stopped, KeyboardInterrupt])
def test_who_ends_it_has_what_there_is(how: type[BaseException]) -> None:
    def end() -> None:
        world.passes(2.0)
        raise how

    world = FakeWorld(at_pause=end)
    outcome = outcome_of(world, ATTACH, steps.Load(1.0), steps.Hold(60.0), steps.Detach())
    assert outcome.interrupted
    assert outcome.error is None
    assert [step.title for step in outcome.steps] == ["attach cpu.1", "load 1/s", "hold 60 s"]
    assert outcome.steps[2].said == "ended before its time"
    assert (outcome.total.requests, outcome.steps[2].requests.requests) == (2, 2)
    assert world.said[-2:] == ["detach ei-1", "restore"]
    assert not outcome.clean


def test_load_that_ends_by_itself_fails_the_step() -> None:
    world = FakeWorld()
    world.at_pause = lambda: setattr(
        world.made[0], "broken", RemoteError("PROCESS_FAILED", "a process ended")
    )
    outcome = outcome_of(world, ATTACH, steps.Load(1.0), steps.Hold(4.0), steps.Detach())
    assert outcome.error is not None
    assert outcome.error.message == "s.yaml:3: step 3: a process ended"
    assert outcome.steps[2].failed


def test_a_kill_ends_with_the_first_right_answer_after_it() -> None:
    world = FakeWorld()
    outcome = outcome_of(world, ATTACH, steps.Load(1.0), steps.Kill(steps.Victim.WORKER))
    assert outcome.error is None
    assert outcome.steps[2].said == (
        "worker 7 killed, 8 in its place; rightly answered again 510 ms later "
        "(a request due 500 ms after the kill, in 10 ms)"
    )


def test_a_kill_without_load_is_followed_by_a_call() -> None:
    outcome = outcome_of(FakeWorld(), ATTACH, steps.Kill(steps.Victim.WORKER))
    assert outcome.steps[1].said.endswith("a call made then was answered 500 ms after the kill")


def test_a_kill_after_which_nothing_is_rightly_answered_fails() -> None:
    world = FakeWorld(answers=False)
    outcome = outcome_of(world, ATTACH, steps.Load(1.0), steps.Kill(steps.Victim.WORKER, 5.0))
    assert outcome.error is not None
    assert outcome.error.reason == "DEADLINE_EXCEEDED"
    assert "no request that was due after worker 7 was killed" in outcome.error.message
    assert outcome.total.reasons == {"NO_WORKER": outcome.total.requests}


def test_what_hinders_it_beforehand_is_raised() -> None:
    world = FakeWorld(failures={"check": UsageError("WRONG_STATE", "one host alone")})
    with pytest.raises(UsageError, match="one host alone"):
        outcome_of(world, ATTACH)
    assert world.said == []
