from __future__ import annotations

from typing import Any

import pytest

from eais_client.load.brain.sameness import asked_otherwise, circumstances, paired
from tests.unit.client.load.brain.documents import document


def both(**asked: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return document(1, seconds=1), document(2, **{"seconds": 1, **asked})


def test_how_long_was_measured_is_no_difference() -> None:
    assert asked_otherwise(*both(seconds=2)) == []


def test_an_instance_of_another_name_is_paired_all_the_same() -> None:
    a, b = both()
    b["runs"][0]["target"] = b["targets"][0]["name"] = "ei-9c2d"
    assert asked_otherwise(a, b) == []
    assert list(paired(a, b)) == [("ei-7f3a", "200/s")]
    assert circumstances(a, b) == ["targets ei-7f3a and ei-9c2d"]


def test_other_phases_of_one_number_are_told_and_paired() -> None:
    a, b = both(rate=100.0)
    (said,) = asked_otherwise(a, b)
    assert said.startswith("200/s on ei-7f3a: stretches [{'from_per_s': 200.0")
    assert len(paired(a, b)) == 1


def test_a_phase_of_one_alone_is_told() -> None:
    a, b = both()
    b["runs"].append({**b["runs"][0], "phase": "300/s"})
    assert asked_otherwise(a, b) == ["only the second has 300/s on ei-7f3a"]
    assert asked_otherwise(b, a) == ["only the first has 300/s on ei-7f3a"]


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("sha256", "cd" * 32, "resnet50 is another model: sha256 abababababab… and cdcdcdcdcdcd…"),
        (
            "inputs",
            [{"name": "x", "shape": [8, 3, 224, 224]}],
            "resnet50 gets x:1x3x224x224 and x:8x3x224x224",
        ),
    ],
)
def test_another_model_or_shape_is_told(part: str, value: Any, said: str) -> None:
    a, b = both()
    b["models"][0][part] = value
    assert asked_otherwise(a, b) == [said]


def test_a_mix_of_other_models_or_weights_is_told() -> None:
    a, b = both()
    for each, weight in ((a, 1), (b, 3)):
        each["models"].append({"name": "magika", "sha256": "ef" * 32, "weight": weight})
    assert asked_otherwise(a, b) == ["magika has weight 1 and 3"]
    b["models"].pop()
    assert asked_otherwise(a, b) == ["only the first calls magika"]


def test_a_bound_that_shapes_the_load_is_told() -> None:
    a, b = both()
    b["settings"]["max_in_flight"] = 8
    assert asked_otherwise(a, b) == ["max_in_flight 256 and 8"]


def test_circumstances_are_told_and_refuse_nothing() -> None:
    a, b = both()
    b["eais"], b["machine"] = "0.2.0", {"cores": 4}
    b["settings"]["driver"] = "tasks"
    b["targets"][0]["about"] = {"type": "gpu.1"}
    b["runs"][0]["schedule"] = {"kept": False}
    a["runs"][0]["interrupted"] = True
    assert asked_otherwise(a, b) == []
    assert circumstances(a, b) == [
        "ei-7f3a: type cpu.1 and gpu.1",
        "driver threads and tasks",
        "EAIS 0.1.0 and 0.2.0",
        "machine: cores 2 and 4",
        "the first's run 200/s on ei-7f3a was interrupted",
        "the second's generator didn't keep its schedule in 200/s on ei-7f3a",
    ]
