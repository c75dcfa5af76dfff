"""What a scenario's file asks for, and what is said of one that can't be."""

from __future__ import annotations

from pathlib import Path

import pytest

from eais.errors import ConfigError, UsageError
from eais_client.load.brain.plan import Driver, Spacing, Stretch
from eais_client.load.brain.scenario import (
    PATIENCE_S,
    Attach,
    Detach,
    Drain,
    Hold,
    Kill,
    Load,
    LoadOff,
    Push,
    Ramp,
    Resize,
    Scenario,
    Start,
    Stop,
    Uncordon,
    Victim,
    Wait,
    Warm,
    schedule,
)
from eais_client.load.scenario_file import model_of, read_scenario

WHOLE = """\
name: all that there is
model: m.onnx
slo-p99: 50ms
arrivals: gamma
burst: 4
check: 20%
seed: 7
timeout: 5s
driver: tasks
processes: 2
max-in-flight: 64
fail-if: [p99 > 80ms, wrong > 0]
steps:
  - attach: {type: cpu.1, slo-p99: 20ms, wait: 1m, vnic: host}
  - push
  - warm: 20
  - load: 20
  - hold: 5s
  - ramp: {to: 40, for: 10s}
  - ramp: {from: 10, to: 0, for: 500ms}
  - load: {rate: 30/s, for: 2s}
  - kill: worker
  - kill: {what: listener, within: 20s}
  - drain
  - drain: {host: h2, within: 2m}
  - uncordon: h2
  - resize: cpu.2
  - stop
  - wait: 1s
  - start
  - load: off
  - detach
"""


def scenario_of(tmp_path: Path, text: str) -> Scenario:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    return read_scenario(file)


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as raised:
        scenario_of(tmp_path, text)
    assert raised.value.reason == "CONFIG"
    return raised.value.message.removeprefix(f"{tmp_path}/")


def test_all_that_a_file_may_say(tmp_path: Path) -> None:
    made = scenario_of(tmp_path, WHOLE)
    attach, *steps = made.steps
    assert isinstance(attach, Attach)
    assert (attach.type, attach.policy.slo_p99_us, attach.wait_s) == ("cpu.1", 20_000, 60.0)
    assert attach.vnic == "host"
    assert steps == [
        Push(),
        Warm(20),
        Load(20.0),
        Hold(5.0),
        Ramp(20.0, 40.0, 10.0),
        Ramp(10.0, 0.0, 0.5),
        Load(30.0, 2.0),
        Kill(Victim.WORKER),
        Kill(Victim.LISTENER, 20.0),
        Drain(),
        Drain("h2", 120.0),
        Uncordon("h2"),
        Resize("cpu.2"),
        Stop(),
        Wait(1.0),
        Start(),
        LoadOff(),
        Detach(),
    ]
    assert (made.name, made.model, made.slo_s) == ("all that there is", "m.onnx", 0.05)
    assert [each.text for each in made.conditions] == ["p99 > 80ms", "wrong > 0"]
    assert (made.spacing, made.burst) == (Spacing.GAMMA, 4.0)
    driving = made.driving
    assert (driving.driver, driving.processes, driving.max_in_flight) == (Driver.TASKS, 2, 64)
    assert (driving.timeout_s, driving.check_share, driving.seed) == (5.0, 0.2, 7)


def test_a_file_that_says_little(tmp_path: Path) -> None:
    made = scenario_of(tmp_path, "steps:\n- attach: cpu.1\n- load: 5\n- hold: 1s\n")
    assert (made.name, made.slo_s, made.spacing) == ("s", None, Spacing.POISSON)
    # Each answer is checked: a scenario is there to find wrong ones.
    assert made.driving.check_share == 1.0
    assert [each.figure for each in made.conditions] == ["errors", "unanswered", "wrong"]
    assert made.places[1].endswith("s.yaml:3: step 2 (load)")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps:\n- attach: cpu.1\n- kil: worker\n", "s.yaml:3: step 2: step 'kil' isn't known: "),
        ("steps:\n- attach: cpu.1\n- kill: wroker\n", "s.yaml:3: step 2 (kill): what: 'wroker' "),
        ("steps:\n- attach: cpu.1\n- hold: 1s\n", "s.yaml:3: step 2 (hold): no load is on; wait "),
        ("steps:\n- attach: cpu.1\n- load: off\n", "s.yaml:3: step 2 (load): no load is on"),
        ("steps:\n- push\n", "s.yaml:2: step 1 (push): nothing is attached yet: the first step is"),
        ("steps:\n- attach: cpu.1\n- start\n", "s.yaml:3: step 2 (start): the instance isn't stop"),
        ("steps:\n- attach: cpu.1\n- stop\n- push\n", "s.yaml:4: step 3 (push): the instance is "),
        ("steps:\n- attach: cpu.1\n- detach\n- push\n", "s.yaml:4: step 3 (push): the instance w"),
        ("steps:\n- attach: cpu.1\n- attach: cpu.2\n", "s.yaml:3: step 2 (attach): there is an "),
        ("steps:\n- attach: toaster\n", "s.yaml:2: step 1 (attach): type: "),
        ("steps:\n- attach: {type: cpu.1, slo: 5}\n", "s.yaml:2: step 1 (attach): 'slo' isn't kn"),
        ("steps:\n- attach: {type: cpu.1, slo-p99: x}\n", "s.yaml:2: step 1 (attach): slo_p99 is"),
        ("steps:\n- attach: {type: cpu, ratio: 1:x}\n", "s.yaml:2: step 1 (attach): a ratio is"),
        ("steps:\n- attach: {type: cpu, strict: 1}\n", "s.yaml:2: step 1 (attach): strict: '1' i"),
        ("steps:\n- attach: {type: cpu, type: cpu}\n", "s.yaml:2: type again"),
        (
            "steps:\n- attach: {type: cpu.1, vnic: vxlen}\n",
            "s.yaml:2: step 1 (attach): vnic: 'vxlen' isn't known: did you mean vxlan?",
        ),
        ("steps:\n- attach: {wait: 5s}\n", "s.yaml:2: step 1 (attach): either a type or an inst"),
        ("steps:\n- attach: {instance: ei-1, min: 2}\n", "s.yaml:2: step 1 (attach): min: of an "),
        ("steps:\n- attach: cpu.1\n- load: -5\n", "s.yaml:3: step 2 (load): rate: '-5' is not req"),
        ("steps:\n- attach: cpu.1\n- load: fast\n", "s.yaml:3: step 2 (load): rate: 'fast' is no"),
        ("steps:\n- attach: cpu.1\n- ramp: 40\n", "s.yaml:3: step 2 (ramp): '40' is not settin"),
        ("steps:\n- attach: cpu.1\n- ramp: {to: 4}\n", "s.yaml:3: step 2 (ramp): for is missing"),
        ("steps:\n- attach: cpu.1\n- ramp: {to: 0, for: 1s}\n", "s.yaml:3: step 2 (ramp): from 0"),
        ("steps:\n- attach: cpu.1\n- wait: soon\n", "s.yaml:3: step 2 (wait): 'soon' is not a t"),
        ("steps:\n- attach: cpu.1\n- push: 3\n", "s.yaml:3: step 2 (push): it takes nothing, no"),
        ("steps:\n- attach: cpu.1\n- warm: 0\n", "s.yaml:3: step 2 (warm): '0' is not a whole n"),
        ("steps:\n- attach: cpu.1\n- {load: 1, for: 2s}\n", "s.yaml:3: step 2: a step is one wor"),
        ("steps:\n- [17]\n", "s.yaml:2: step 1: a step is"),
        ("steps: attach\n", "s.yaml:1: steps is a list"),
        ("name: x\n", "s.yaml: steps is missing"),
        ("slo: 1\nsteps: []\n", "s.yaml:1: 'slo' isn't known: "),
        ("seed: 1\nburst: 2\nsteps:\n- attach: cpu\n", "s.yaml:2: burst is of arrivals: gamma"),
        ("check: 120%\nsteps:\n- attach: cpu\n", "s.yaml:1: check: '120%' is not a part"),
        ("fail-if: p99 = 5\nsteps:\n- attach: cpu\n", "s.yaml:1: fail-if: 'p99 = 5' is no cond"),
        ("- attach\n", "s.yaml: a scenario is settings and steps"),
        ("", "s.yaml: a scenario is settings and steps"),
        ("steps: [\n", "s.yaml:2:1: "),
        ("steps: !!python/object:os.system {}\n", "s.yaml:1: steps is a list"),
        ("a: \x00\n", "s.yaml: "),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    assert refusal(tmp_path, text).startswith(said)


def test_what_was_meant_is_guessed(tmp_path: Path) -> None:
    said = refusal(tmp_path, "steps:\n- atach: cpu.1\n")
    assert "did you mean attach? there are attach, push, " in said


def test_the_model_is_seen_from_the_scenario_s_folder(tmp_path: Path) -> None:
    made, file = (
        scenario_of(tmp_path, "model: m.onnx\nsteps:\n- attach: cpu\n"),
        tmp_path / "s.yaml",
    )
    with pytest.raises(UsageError, match=r"m\.onnx: there is no such file"):
        model_of(made, file, "")
    (tmp_path / "m.onnx").touch()
    assert model_of(made, file, "") == tmp_path / "m.onnx"
    with pytest.raises(UsageError, match=r"other\.onnx: there is no such file"):
        model_of(made, file, "other.onnx")
    with pytest.raises(UsageError, match="names no model"):
        model_of(scenario_of(tmp_path, "steps:\n- attach: cpu\n"), file, "")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_scenario(tmp_path / "none.yaml")


@pytest.mark.parametrize("ratio", ["4:0", "4:0.25", "1:1"])
def test_a_ratio_is_not_what_yaml_would_take_it_for(tmp_path: Path, ratio: str) -> None:
    # YAML 1.1 has numbers of base sixty: 4:0 is 240 there.
    (attach,) = scenario_of(tmp_path, f"steps:\n- attach: {{ratio: {ratio}}}\n").steps
    assert isinstance(attach, Attach)
    assert (attach.type, attach.policy.ratio.text) == ("auto", ratio)


def test_the_rate_after_a_step_goes_on_until_it_is_changed() -> None:
    steps = (Attach("cpu.1"), Load(20.0), Ramp(20.0, 40.0, 10.0))
    assert schedule(steps, 1, 30.0) == (Stretch(30.0, 20.0, 20.0),)
    assert schedule(steps, 2, 30.0) == (Stretch(10.0, 20.0, 40.0), Stretch(20.0, 40.0, 40.0))
    with pytest.raises(ValueError, match="asks for no load"):
        schedule(steps, 0, 30.0)


def test_the_longest_that_the_rest_may_last() -> None:
    steps = (Attach("cpu.1"), Load(5.0, 2.0), Kill(Victim.WORKER, 7.0), Hold(3.0), Detach())
    made = Scenario("x", steps, ("",) * 5)
    assert made.longest_s(1) == 2.0 + 7.0 + 3.0 + PATIENCE_S


def test_a_scenario_that_calls_nothing_needs_no_model() -> None:
    attached = Scenario("x", (Attach("cpu.1"), Wait(1.0), Detach()), ("",) * 3)
    assert not attached.calls
    assert Scenario("x", (Attach("cpu.1"), Push()), ("",) * 2).calls
