"""Which instance a session takes, and what its own options say."""

from __future__ import annotations

import math
from typing import Any

import onnxruntime
import pytest

from eais.errors import EaisError, UsageError
from eais.instance import InstanceState
from eais_client.brain.choose import check_usable, choose, ending, provider_fault, read_choice
from eais_client.testing import fake_instance


@pytest.mark.parametrize(
    ("providers", "options", "environ", "instance"),
    [
        (None, None, {}, ""),
        (None, None, {"EAIS_INSTANCE": "ei-env"}, "ei-env"),
        (None, {"instance": "ei-a"}, {"EAIS_INSTANCE": "ei-env"}, "ei-a"),
        (["CPUExecutionProvider"], [{"instance": "ei-b"}], {}, "ei-b"),
        ([("CPUExecutionProvider", {"instance": "ei-c", "x": "y"})], None, {}, "ei-c"),
        ("CPUExecutionProvider", 5, {}, ""),
    ],
)
def test_the_nearest_word_counts(
    providers: Any, options: Any, environ: dict[str, str], instance: str
) -> None:
    assert read_choice(providers, options, environ).instance == instance


def test_providers_are_named_once_in_order() -> None:
    asked: list[Any] = ["B", ("A", {}), "B"]
    assert read_choice(asked, None, {}).providers == ("B", "A")


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, "soon", []])
def test_a_timeout_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(EaisError, match="timeout_s must be above 0"):
        read_choice(None, {"timeout_s": value}, {})
    assert read_choice(None, {"timeout_s": "0.5"}, {}).timeout_s == 0.5


@pytest.mark.parametrize(
    ("argument", "options", "said"),
    [
        (None, None, ""),
        ("auto", None, ""),
        ("on", None, "on"),
        ("off", None, "off"),
        ("off", {"batching": "on"}, "on"),
        (None, {"batching": "off"}, "off"),
    ],
)
def test_whether_calls_may_run_together_is_said(argument: Any, options: Any, said: str) -> None:
    assert read_choice(None, options, {}, argument).batching == said


@pytest.mark.parametrize("value", [True, "", "always", 1])
def test_another_word_for_batching_is_refused(value: Any) -> None:
    with pytest.raises(EaisError, match="batching is one of auto, on, off"):
        read_choice(None, {"batching": value}, {})


def test_an_instance_is_named_by_a_string() -> None:
    with pytest.raises(EaisError, match="must be a string"):
        read_choice(None, {"instance": 7}, {})


@pytest.mark.parametrize("state", InstanceState)
def test_an_instance_serves_only_in_use(state: InstanceState) -> None:
    instance = fake_instance(state=state, reason="NO_DEVICE", detail="gone")
    expected = {
        InstanceState.IN_USE: "",
        InstanceState.BOUND: "INSTANCE_STOPPED",
        InstanceState.DRAINING: "INSTANCE_STOPPED",
        InstanceState.FAILED: "INSTANCE_FAILED",
    }.get(state, "NOT_ATTACHED")
    error = ending(instance, "owner")
    assert (error.reason if error else "") == expected
    assert instance.id in str(error or instance)


def test_what_is_anothers_is_not_attached_here() -> None:
    with pytest.raises(EaisError) as caught:
        check_usable(fake_instance(frontend="other"), "owner")
    assert caught.value.reason == "NOT_ATTACHED"
    with pytest.raises(EaisError):
        choose([fake_instance(frontend="other")], "owner")


@pytest.mark.parametrize(
    ("providers", "options"),
    [
        (["CPUExecutionProvider"], [{}, {}]),
        (["CPUExecutionProvider"], {}.keys()),
        ([5], None),
        ([("CPUExecutionProvider",)], None),
        ([("CPUExecutionProvider", {})], [{}]),
        (["CPUExecutionProvider"], [5]),
        ({"CPUExecutionProvider"}, None),
    ],
)
def test_faulty_providers_are_told_in_onnxruntimes_words(providers: Any, options: Any) -> None:
    from onnxruntime.capi.onnxruntime_inference_collection import (
        check_and_normalize_provider_args,
    )

    with pytest.raises(ValueError, match="provider") as caught:
        check_and_normalize_provider_args(providers, options, onnxruntime.get_available_providers())
    assert provider_fault(providers, options) == str(caught.value)


@pytest.mark.parametrize("options", [None, [{}], {"instance": "ei-1"}])
def test_good_providers_have_no_fault(options: Any) -> None:
    assert provider_fault(["CPUExecutionProvider"], options) == ""
    assert provider_fault(None, options) == ""


def test_the_pool_decides_on_providers_where_the_environment_says_so() -> None:
    asked = [("CUDAExecutionProvider", {"instance": "ei-1"}), "CPUExecutionProvider"]
    chosen = read_choice(asked, None, {"EAIS_PROVIDERS": "pool"})
    assert (chosen.instance, chosen.providers) == ("ei-1", ())


@pytest.mark.parametrize("environ", [{}, {"EAIS_PROVIDERS": "as-requested"}])
def test_else_they_are_passed_on_as_requested(environ: dict[str, str]) -> None:
    assert read_choice(["B", "A"], None, environ).providers == ("B", "A")


def test_another_word_for_the_policy_is_refused() -> None:
    with pytest.raises(UsageError, match="EAIS_PROVIDERS must be pool or as-requested, not 'x'"):
        read_choice(None, None, {"EAIS_PROVIDERS": "x"})
