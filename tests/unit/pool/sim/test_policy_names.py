"""What policies may be called."""

from __future__ import annotations

import pytest

from eais.device_type import DeviceKind
from eais.errors import UsageError
from eais.ratio import Ratio
from eais_pool.sim.policy_names import MOST, NAMES, Changes, PolicyName


def test_each_policy_has_an_example_that_can_be_read() -> None:
    assert {PolicyName.parse(example).name for example, _ in NAMES.values()} == set(NAMES)
    assert len(NAMES) <= MOST


@pytest.mark.parametrize(
    ("text", "name", "numbers", "changes"),
    [
        ("auto", "auto", (), Changes()),
        ("late_target=0.001, min=1", "auto", (), Changes(late_target=0.001, min=1)),
        ("auto,kinds=cpu+gpu", "auto", (), Changes(kinds=(DeviceKind.CPU, DeviceKind.GPU))),
        ("knative", "knative", (0.7,), Changes()),
        ("knative:0.9,max=4", "knative", (0.9,), Changes(max=4)),
        ("ray:1.5", "ray", (1.5, 600.0), Changes()),
    ],
)
def test_what_is_said_is_read(
    text: str, name: str, numbers: tuple[float, ...], changes: Changes
) -> None:
    found = PolicyName.parse(text)
    assert (found.name, found.numbers, found.changes) == (name, numbers, changes)


def test_a_fixed_ratio_is_read() -> None:
    assert PolicyName.parse("fixed:4:0.25").ratio == Ratio(4, 250)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("magic", "there are auto, fixed:4:0.25, knative:0.7, hpa:0.7, ray:2:600"),
        ("", "is no policy"),
        ("fixed", "a ratio is"),
        ("fixed:auto", "auto is a policy"),
        ("fixed:1:0,min=1", "it stays as it is"),
        ("knative:2", "such as knative:0.7"),
        ("hpa:x", "such as hpa:0.7"),
        ("ray:1:2:3", "such as ray:2:600"),
        ("knative:nan", "such as knative:0.7"),
        ("knative,late_target=0.1", "such as min, max, kinds, attach_s"),
        ("speed=3", "such as late_target"),
        ("min=1.5", "a number"),
        ("attach_s=-1", "a number"),
        ("kinds=cpu+tpu", "kinds such as"),
        ("x" * 300, "at most 200"),
    ],
)
def test_what_can_not_be_read_is_named(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        PolicyName.parse(text)
    assert said in caught.value.message
