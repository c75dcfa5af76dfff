"""Operators: what computes may be used, what carries code or blobs may not."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from eais.errors import ModelRejected
from eais.onnx_external import ModelScan, scan_model
from eais_server.devices.driver import ModelSource, RunSettings, SessionSettings
from eais_server.runtime.operators import CARRIERS, CONTRIBUTED, CONTRIBUTED_OPS, check_ops
from eais_server.runtime.session import open_session
from tests.unit.server.runtime import models


def refused(domain: str, op: str, functions: frozenset[tuple[str, str]] = frozenset()) -> Any:
    with pytest.raises(ModelRejected) as caught:
        check_ops(ModelScan((), frozenset({(domain, op)}), functions), "")
    assert caught.value.reason == "OP_REFUSED"
    return caught.value


def test_each_operator_that_onnxruntime_contributes_was_looked_at() -> None:
    """A new onnxruntime with new operators fails here: each belongs to one of the two tables."""
    state: Any = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    there = {made.name for made in state.get_all_operator_schema() if made.domain == CONTRIBUTED}
    there |= {made.op_name for made in state.get_all_opkernel_def() if made.domain == CONTRIBUTED}
    assert there - CONTRIBUTED_OPS - CARRIERS.keys() == {"SampleOp"}


@pytest.mark.parametrize("domain", ["", "ai.onnx", "ai.onnx.ml"])
def test_onnxs_own_operators_are_the_runtimes_to_know(domain: str) -> None:
    check_ops(ModelScan((), frozenset({(domain, "Relu")})), "")


@pytest.mark.parametrize(
    ("domain", "op"),
    [
        ("evil", "Relu"),
        ("ai.onnx.preview.training", "Adam"),
        ("com.microsoft", "Nonsense"),
        ("com.microsoft.nchwc", "Conv"),
        ("com.ms.internal.nhwc", "Conv"),
        ("org.pytorch.aten", "ATen"),
        ("ai.onnx ", "Relu"),
    ],
)
def test_other_domains_are_refused_in_onnxruntimes_words(domain: str, op: str) -> None:
    error = refused(domain, op)
    text = f"[ONNXRuntimeError] : 1 : FAIL : Fatal error: {domain}:{op}(-1) is not a registered "
    assert error.message == text + "function/op"
    assert error.metadata == {"op": op, "domain": domain, "onnxruntime_class": "Fail"}


@pytest.mark.parametrize("op", sorted(CARRIERS))
@pytest.mark.parametrize("domain", ["", "com.microsoft", "mine"])
def test_what_carries_code_is_refused_whatever_it_says_it_is(domain: str, op: str) -> None:
    assert refused(domain, op, frozenset({(domain, op)})).metadata["op"] == op


def with_function(domain: str, name: str) -> bytes:
    """y = f(x) by the model's own function f, which doubles."""
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    imports = [helper.make_opsetid("", 17)]
    made = onnx.load_from_string(models.one_op(name, domain))
    made.functions.append(helper.make_function(domain, name, ["a"], ["b"], body, imports))
    return bytes(made.SerializeToString())


def test_a_models_own_functions_run(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(with_function("pkg.mine", "double"))
    session = open_session(ModelSource(path), SessionSettings(), threads=1)
    (y,) = session.prepare(RunSettings()).execute([], {"x": np.array([1, 2], np.float32)})
    assert y.tolist() == [2, 4]


def test_the_body_of_a_function_is_looked_into() -> None:
    made = onnx.load_from_string(with_function("pkg.mine", "double"))
    made.functions[0].node[0].domain = "evil"
    with pytest.raises(ModelRejected, match="evil:Add"):
        check_ops(scan_model(made.SerializeToString()), "")


def test_names_are_shown_in_part() -> None:
    error = refused("d" * 500, "o" * 500)
    assert len(error.message) < 300
    assert error.metadata["op"] == "o" * 64
