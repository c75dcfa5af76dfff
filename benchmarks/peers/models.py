"""The models that all serve: an input `x` and an output `y`, of float32."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import onnx

from benchmarks.dataplane.models import write_one_node_models
from eais_client.demo.resnet import INPUT, write_resnet50

SHAPES: Final[Mapping[str, Mapping[str, list[int]]]] = {
    "tiny": {"x": [-1, 4], "y": [-1, 4]},
    "identity": {"x": [-1, -1], "y": [-1, -1]},
    "resnet50": {"x": [1, 3, 224, 224], "y": [1, 1000]},
}
"""Model -> tensor -> its shape, -1 where any size will do."""


def write_models(folder: Path) -> None:
    """Write them into `folder`; the same bytes each time."""
    write_one_node_models(folder)
    write_resnet50(folder / "resnet50.onnx")
    _rename(folder / "resnet50.onnx")


def _rename(file: Path) -> None:
    """Have the model's own input be its only one, and called `x`; its output `y`."""
    model = onnx.load(str(file))
    graph = model.graph
    (given,) = [one for one in graph.input if one.name == INPUT]
    (output,) = graph.output
    names = {INPUT: "x", output.name: "y"}
    for node in graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(name, name) for name in tensors]
    given.name, output.name = "x", "y"
    for other in [one for one in graph.input if one.name != "x"]:
        graph.input.remove(other)
    onnx.save(model, str(file))
