"""Tensors below nodes that lie in other files, which the worker has under several names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from eais.errors import ModelRejected
from eais.onnx_external import scan_model
from eais.onnx_wire import MAX_LENGTH
from eais_server.devices.driver import ModelSource, RunSettings, SessionSettings
from eais_server.runtime.inlining import inline
from eais_server.runtime.session import open_session
from tests.unit.server.runtime import models

W = np.array([1, 2, 30, 40], np.float32)
X = np.array([5, 6], np.float32)
ON = models.info("on", TensorProto.BOOL, [])


def external(name: str, first: int = 0, count: int = 2) -> TensorProto:
    """Floats of `W` from the `first` on, in w.bin."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[count])
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": "d/w.bin", "offset": str(4 * first), "length": str(4 * count)}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def add(w: str) -> onnx.NodeProto:
    return helper.make_node("Add", ["x", w], ["z"])


def graph(*nodes: onnx.NodeProto, initializers: tuple[TensorProto, ...] = ()) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), "b", [], [models.info("z")], list(initializers))


def choice(then: onnx.GraphProto, other: onnx.GraphProto, y: str = "y") -> onnx.NodeProto:
    return helper.make_node("If", ["on"], [y], then_branch=then, else_branch=other)


def twice(branch: onnx.GraphProto) -> onnx.NodeProto:
    return choice(branch, branch)


def made(*nodes: onnx.NodeProto, **more: Any) -> onnx.ModelProto:
    data = models.model(*nodes, inputs=[models.info("x"), ON], outputs=[models.info("y")], **more)
    return onnx.load_from_string(data)


def in_branches() -> onnx.ModelProto:
    then = graph(add("w"), initializers=(external("w"),))
    return made(choice(then, graph(add("w"), initializers=(external("w", 2),))))


def in_a_branch_of_a_branch() -> onnx.ModelProto:
    then = graph(add("v"), initializers=(external("v"),))
    inner = choice(then, graph(add("u"), initializers=(external("u", 2),)), "z")
    return made(choice(graph(inner), graph(inner)))


def in_constants_of_branches() -> onnx.ModelProto:
    def constant(first: int) -> onnx.GraphProto:
        return graph(helper.make_node("Constant", [], ["w"], value=external("w", first)), add("w"))

    return made(choice(constant(0), constant(2)))


def in_a_branch_beside_the_graph() -> onnx.ModelProto:
    """The one below the graph is used by one branch, and stays where it is."""
    then, other = graph(add("g")), graph(add("w"), initializers=(external("w", 2),))
    return made(choice(then, other), initializers=(external("g"),))


def in_a_function() -> onnx.ModelProto:
    then = graph(add("w"), initializers=(external("w"),))
    node = choice(then, graph(add("w"), initializers=(external("w", 2),)))
    model = made(helper.make_node("F", ["x", "on"], ["y"], domain="f"), domains=("f",))
    imports = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("f", "F", ["x", "on"], ["y"], [node], imports))
    return model


def in_a_loop() -> onnx.ModelProto:
    """Once for on, with 1 and 2 added; the other case adds 30 and 40 to it before."""
    body = helper.make_graph(
        [helper.make_node("Add", ["v", "w"], ["z"]), helper.make_node("Identity", ["c"], ["d"])],
        "b",
        [models.info("i", TensorProto.INT64, []), models.info("c", TensorProto.BOOL, []),
         models.info("v")],
        [models.info("d", TensorProto.BOOL, []), models.info("z")],
        [external("w")],
    )  # fmt: skip
    once = helper.make_tensor("n", TensorProto.INT64, [], [1])
    less = helper.make_tensor("m", TensorProto.FLOAT, [2], [29, 38])
    none = helper.make_tensor("o", TensorProto.FLOAT, [2], [0, 0])
    return made(
        helper.make_node("Where", ["on", "o", "m"], ["a"]),
        helper.make_node("Add", ["x", "a"], ["s"]),
        helper.make_node("Loop", ["n", "", "s"], ["y"], body=body),
        initializers=(once, less, none),
    )


MODELS = {
    "branches": in_branches,
    "branch of a branch": in_a_branch_of_a_branch,
    "constants of branches": in_constants_of_branches,
    "beside the graph's own": in_a_branch_beside_the_graph,
    "function": in_a_function,
    "loop": in_a_loop,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A worker's: w.bin has a second name elsewhere."""
    here = tmp_path / "here"
    (here / "d").mkdir(parents=True)
    (tmp_path / "store").write_bytes(W.tobytes())
    os.link(tmp_path / "store", here / "d/w.bin")
    return here


def answers(folder: Path, data: bytes, feed: Mapping[str, Any], *, from_path: bool) -> Any:
    (folder / "model.onnx").write_bytes(data)
    source = ModelSource(folder / "model.onnx", {"d/w.bin": W.nbytes}, from_path)
    run = open_session(source, SessionSettings(), threads=1).prepare(RunSettings())
    return run.execute([], feed)[0].tolist()


@pytest.mark.parametrize("from_path", [True, False], ids=["path", "bytes"])
@pytest.mark.parametrize("name", MODELS)
def test_it_is_run(folder: Path, name: str, from_path: bool) -> None:
    data = MODELS[name]().SerializeToString()
    for on, want in ((True, [6, 8]), (False, [35, 46])):
        feed = {"x": X, "on": np.array(on)}
        assert answers(folder, data, feed, from_path=from_path) == want


def test_a_nodes_own_tensor(folder: Path) -> None:
    node = helper.make_node("ConstantOfShape", ["s"], ["w"], value=external("", 2, 1))
    data = models.model(
        helper.make_node("Shape", ["x"], ["s"]),
        node,
        helper.make_node("Add", ["x", "w"], ["y"]),
        inputs=[models.info("x")],
        outputs=[models.info("y")],
    )
    assert answers(folder, data, {"x": X}, from_path=True) == [35, 36]


def test_nothing_else_of_the_model_changes(folder: Path) -> None:
    model = in_a_branch_beside_the_graph()
    whole = inline(folder / "model.onnx", model.SerializeToString())
    assert whole is not None
    assert [r.tensor for r in scan_model(whole).references] == ["g"]
    for attribute in model.graph.node[0].attribute:
        for tensor in attribute.g.initializer:
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.raw_data = W[2:].tobytes()
    assert onnx.load_from_string(whole) == model


@pytest.mark.parametrize("place", ["graph", "constant", "inside"])
def test_a_model_without_any_is_left_alone(folder: Path, place: str) -> None:
    inside = helper.make_tensor("w", TensorProto.FLOAT, [2], [1, 2])
    inside.external_data.add(key="location", value="d/w.bin")  # of no effect: it isn't EXTERNAL
    model = {
        "graph": lambda: made(add("g"), initializers=(external("g"),)),
        "constant": lambda: made(helper.make_node("Constant", [], ["w"], value=external("w"))),
        "inside": lambda: made(twice(graph(add("w"), initializers=(inside,)))),
    }[place]()
    assert inline(folder / "model.onnx", model.SerializeToString()) is None


def test_more_than_a_model_may_have_is_refused_before_it_is_read(tmp_path: Path) -> None:
    big = graph(add("w"), initializers=(external("w", 0, MAX_LENGTH // 8),))
    assert not list(tmp_path.iterdir())
    data = made(twice(big), twice(big)).SerializeToString()
    with pytest.raises(ModelRejected) as caught:
        inline(tmp_path / "model.onnx", data)
    assert caught.value.reason == "MODEL_TOO_LARGE"
    assert caught.value.metadata["limit"] == str(MAX_LENGTH)
    assert int(caught.value.metadata["got"]) > MAX_LENGTH
