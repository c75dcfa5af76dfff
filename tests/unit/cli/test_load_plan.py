from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eais.errors import EaisError
from eais_client.cli.load_plan import LoadOptions, read_options, with_targets
from eais_client.load.brain.plan import Closed, Driver, Open, Spacing
from eais_client.load.target import TargetKind, TargetSpec


@pytest.fixture
def model(tmp_path: Path) -> str:
    file = tmp_path / "m.onnx"
    file.write_bytes(b"not read here")
    return str(file)


def refused(file: str, **given: Any) -> str:
    with pytest.raises(EaisError) as raised:
        read_options(LoadOptions(**{"model": [file], "onnxruntime": True, **given}))
    return f"{raised.value} ({raised.value.hint})"


def test_without_a_load_it_is_one_caller_for_ten_seconds(model: str) -> None:
    plan = read_options(LoadOptions(model=[model], onnxruntime=True)).plan
    (phase,) = plan.phases
    assert (phase.load, phase.seconds, phase.warm_s) == (Closed(1), 10.0, 1.0)
    assert [each.kind for each in plan.targets] == [TargetKind.ONNXRUNTIME]
    assert (plan.rounds, plan.driving.driver, plan.driving.check_share) == (1, Driver.THREADS, 0.05)


def test_a_rate_alone_is_poissons(model: str) -> None:
    plan = read_options(LoadOptions(model=[model], onnxruntime=True, rate="20")).plan
    (phase,) = plan.phases
    assert isinstance(phase.load, Open)
    assert phase.load.spacing is Spacing.POISSON
    assert [each.from_per_s for each in phase.load.stretches] == [20.0, 20.0]


def test_several_targets_take_turns_in_three_rounds(model: str) -> None:
    asked = read_options(LoadOptions(model=[model], attach=["cpu.1", "cpu.2"]))
    assert (asked.attach, asked.plan.rounds, asked.plan.targets) == (("cpu.1", "cpu.2"), 3, ())


def test_models_are_mixed_by_weight_under_names_of_their_own(tmp_path: Path) -> None:
    files = [tmp_path / "a" / "m.onnx", tmp_path / "b" / "m.onnx"]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(b"")
    options = LoadOptions(model=list(map(str, files)), mix="3:1", onnxruntime=True)
    models = read_options(options).plan.models
    assert [(each.name, each.weight) for each in models] == [("m", 3), ("m-2", 1)]


def test_a_server_may_have_a_model_that_is_no_file_here() -> None:
    asked = read_options(LoadOptions(model=["resnet50"], server=["grpc://127.0.0.1:8001"]))
    (model,) = asked.plan.models
    assert (model.name, model.path) == ("resnet50", "")
    assert not asked.plan.checked
    assert asked.notes == ("answers aren't checked: there is no model file to run for right ones",)
    assert asked.plan.targets[0].name == "127.0.0.1:8001"


def test_a_search_has_no_phases_of_its_own(model: str) -> None:
    options = LoadOptions(model=[model], onnxruntime=True, slo_p99="50ms", find_capacity=True)
    plan = read_options(options).plan
    assert plan.phases == ()
    assert plan.goal is not None
    assert (plan.goal.slo_s, plan.slo_s) == (0.05, 0.05)


def test_a_trace_is_the_load(model: str, tmp_path: Path) -> None:
    file = tmp_path / "trace"
    file.write_text("3\n0\n5\n")
    plan = read_options(LoadOptions(model=[model], onnxruntime=True, trace=file)).plan
    (phase,) = plan.phases
    assert phase.seconds == 3.0
    assert isinstance(phase.load, Open)
    assert [each.from_per_s for each in phase.load.stretches] == [3.0, 0.0, 5.0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": []}, "no model is named (--model FILE.onnx"),
        ({"model": ["nope.onnx"]}, "--model nope.onnx: there is no such file"),
        ({"mix": "3:1"}, "--mix 3:1: 2 weights for 1 models"),
        ({"rate": "fast"}, "--rate fast: not as 20, 10..100 or 10,20,40"),
        ({"rate": "20", "concurrency": "2"}, "--concurrency is a closed loop"),
        ({"arrivals": "poisson"}, "say how many, such as --rate 20"),
        ({"arrivals": "banana", "rate": "2"}, "--arrivals banana: there are constant, poisson"),
        ({"burst": 2.0, "rate": "2"}, "--burst says how gamma's gaps vary: --arrivals gamma"),
        ({"concurrency": "0"}, "--concurrency 0: not a number of callers"),
        ({"duration": "10"}, "--duration 10: not a time such as 50ms, 10s or 2m"),
        ({"timeout": "0s"}, "--timeout 0s: must be more than nothing"),
        ({"driver": "forks"}, "--driver forks: there are threads, tasks"),
        ({"check": "7"}, "--check 7: not a share such as 5% or 0.05"),
        ({"tolerance": "loose"}, "--tolerance loose: there are exact, fp32, bf16, int8"),
        ({"find_capacity": True}, "say it (such as --slo-p99 50ms)"),
        (
            {"find_capacity": True, "slo_p99": "1s", "attach": ["cpu.1"]},
            "--find-capacity is of one target",
        ),
        ({"find_capacity": True, "slo_p99": "1s", "rate": "2"}, "makes loads of its own"),
        ({"vnic": "veth"}, "--vnic is of an instance made for the test (--attach TYPE makes one)"),
        ({"vnic": "vlan", "attach": ["cpu.1"]}, "--vnic 'vlan' is no driver"),
        ({"shape": ["x"]}, "--shape x: not as x=1,3,224,224"),
        ({"range": ["x=9..1"]}, "--range x=9..1: not as x=0..255"),
        ({"fail_if": ["p99 over 5"]}, "p99 over 5"),
        ({"report": Path("/nowhere/r.html")}, "there is no folder to write it in"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_begins(
    model: str, given: dict[str, Any], said: str
) -> None:
    assert said in refused(model, **given)


def test_a_target_is_named_once(model: str) -> None:
    plan = read_options(LoadOptions(model=[model], instance=["ei-1"])).plan
    twin = TargetSpec(TargetKind.INSTANCE, "ei-1", "ei-1")
    with pytest.raises(EaisError, match="ei-1 is named twice as a target"):
        with_targets(plan, [twin])
