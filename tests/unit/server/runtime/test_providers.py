"""Execution providers: how they are found, handed to onnxruntime, and what one that fails is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eais.errors import EaisError, make_error
from eais_server.devices.driver import ModelSource, RunSettings, SessionSettings
from eais_server.runtime.providers import CPU, Provider, built_in, find_provider
from eais_server.runtime.session import open_session
from tests.unit.server.devices.fake_onnxruntime import FakeOnnxruntime, ep_device
from tests.unit.server.runtime import models

AZURE = Provider("AzureExecutionProvider")  # the one beside the CPU's in onnxruntime's wheel


class Options:
    """onnxruntime's, as far as plug-ins are added to them."""

    def __init__(self) -> None:
        self.added: list[tuple[list[Any], dict[str, str]]] = []

    def add_provider_for_devices(self, devices: list[Any], options: dict[str, str]) -> None:
        self.added.append((devices, options))


@pytest.fixture
def relu(tmp_path: Path) -> ModelSource:
    path = tmp_path / "model.onnx"
    path.write_bytes(models.dataset("mul_1"))
    return ModelSource(path)


def refusal(model: ModelSource, provider: Provider) -> EaisError:
    with pytest.raises(EaisError) as caught:
        open_session(model, SessionSettings(), 1, provider)
    return caught.value


def test_another_provider_goes_before_the_cpus_and_the_answers_are_true(relu: ModelSource) -> None:
    session = open_session(relu, SessionSettings(), 1, AZURE)
    assert session.signature.providers == ("AzureExecutionProvider", "CPUExecutionProvider")
    feed = {"X": np.ones((3, 2), np.float32)}
    (got,) = session.prepare(RunSettings()).execute([], feed)
    plain = open_session(relu, SessionSettings(), 1)
    assert plain.signature.providers == ("CPUExecutionProvider",)
    assert np.array_equal(got, plain.prepare(RunSettings()).execute([], feed)[0])


def test_a_provider_that_onnxruntime_lacks_is_refused_not_replaced(
    relu: ModelSource, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refusal(relu, Provider("NoSuchExecutionProvider"))
    assert error.reason == "RUNTIME_REFUSED"
    assert "NoSuchExecutionProvider" in error.message
    assert capsys.readouterr().out == ""


def test_a_session_that_has_not_got_its_provider_is_refused() -> None:
    Provider("A").check_taken(["A", CPU.name])
    CPU.check_taken([CPU.name])
    with pytest.raises(EaisError) as caught:
        Provider("A").check_taken([CPU.name])
    assert caught.value.reason == "RUNTIME_REFUSED"


def test_only_what_may_be_the_providers_fault_is_called_so() -> None:
    assert Provider("A").refusal(make_error("MODEL_INVALID", "x")).reason == "RUNTIME_REFUSED"
    for provider, reason in ((CPU, "MODEL_INVALID"), (Provider("A"), "MODEL_MEMORY")):
        assert provider.refusal(make_error(reason, "x")).reason == reason


def test_built_in_providers_are_named_in_their_order() -> None:
    options = Options()
    both = Provider("A", {"a": "1"}, behind=Provider("B", behind=CPU))
    assert both.chosen(options) == [("A", {"a": "1"}), ("B", {}), CPU.name]
    assert CPU.chosen(options) == [CPU.name]
    assert options.added == []


def test_plug_ins_are_added_to_the_options_and_not_mixed_with_others() -> None:
    options, one, two = Options(), object(), object()
    plugged = Provider("A", {"a": "1"}, (one,), Provider("B", {}, (two,)))
    assert plugged.chosen(options) is None
    assert options.added == [([one], {"a": "1"}), ([two], {})]
    options = Options()
    assert Provider("A", behind=Provider("B", {}, (two,))).chosen(options) == [("A", {}), CPU.name]
    assert Provider("A", {}, (one,), Provider("B")).chosen(options) is None
    assert options.added == [([one], {})]


def test_one_device_of_a_plug_in_is_taken_and_of_several_the_one_at_its_place() -> None:
    one, two = (ep_device("A", "GPU", bus=bus) for bus in ("1", "2"))
    found = find_provider(FakeOnnxruntime(devices=[one]), Provider("A"), "GPU", {"bus": "7"})
    assert found.devices == (one,)
    several = FakeOnnxruntime(("A",), [one, two, ep_device("A", "NPU", bus="2")])
    assert find_provider(several, Provider("A"), "GPU", {"bus": "2"}).devices == (two,)
    assert find_provider(several, Provider("A"), "GPU").devices == ()


def test_an_onnxruntime_that_lists_no_devices_is_asked_what_was_built_into_it() -> None:
    class Old:
        def get_available_providers(self) -> list[str]:
            return ["A"]

    assert find_provider(Old(), Provider("A"), "GPU") == Provider("A")
    with pytest.raises(EaisError) as caught:
        find_provider(Old(), Provider("B"), "GPU")
    assert caught.value.reason == "RUNTIME_REFUSED"


def test_what_lies_beside_onnxruntime_is_seen_without_importing_it() -> None:
    assert "shared" in built_in()
    code = (
        "import sys; from eais_server.runtime.providers import built_in; built_in();"
        "print([m for m in ('onnxruntime', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
