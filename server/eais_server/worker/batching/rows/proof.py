"""Whether a model treats each index of axis 0 alone: the walk of its graph. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from eais.onnx_wire import Buffer
from eais_server.worker.batching.rows import (
    along,
    classical,
    elementwise,
    neural,
    parts,
    products,
    shapes,
)
from eais_server.worker.batching.rows.graph import Declared, Graph, Node, Tensor, read_graph
from eais_server.worker.batching.rows.step import Rule, Step
from eais_server.worker.batching.rows.values import Batch, Rows, Shared, Unproven, Value

RULES: Final[Mapping[tuple[str, str], Rule]] = {
    **elementwise.RULES,
    **shapes.RULES,
    **parts.RULES,
    **along.RULES,
    **products.RULES,
    **neural.RULES,
    **classical.RULES,
}
VERSIONS: Final[Mapping[str, range]] = {
    "": range(7, 27),
    "ai.onnx.ml": range(1, 6),
    "com.microsoft": range(1, 2),
}
"""Of operator sets for which the rules were written: a later one may mean something else."""


_SHOWN: Final = 64


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found of a model.

    Attributes:
        holds: each index of axis 0 is treated alone.
        why: it isn't known to be; "" if `holds`.
        inputs: the names of the inputs that it was proven of, when they are all that is given.
    """

    holds: bool
    why: str = ""
    inputs: frozenset[str] = frozenset()


def prove(data: Buffer) -> Proof:
    """Walk a serialised ModelProto; doesn't raise."""
    try:
        return _proven(read_graph(data))
    except Unproven as error:
        return Proof(False, str(error))


def _proven(graph: Graph) -> Proof:
    given = [declared for declared in graph.inputs if declared.name not in graph.constants]
    walk = _Walk(graph.opsets, graph.functions)
    for name, tensor in graph.constants.items():
        walk.name(name, _constant(tensor))
    for declared, value in zip(given, _inputs(given), strict=True):
        walk.name(declared.name, value)
    for node in graph.nodes:
        walk.visit(node)
    for declared in graph.outputs:
        _check_output(declared, walk.values.get(declared.name))
    return Proof(True, inputs=frozenset(declared.name for declared in given))


def _inputs(given: Sequence[Declared]) -> list[Rows]:
    """The inputs as rows, if all say that their first dim is free and the same."""
    symbols = {str(_first_dim(declared)) for declared in given} - {""}
    if not given or len(symbols) > 1:
        raise Unproven("the inputs don't have one first dimension")
    found: list[Rows] = []
    for declared in given:
        others = (declared.dims or ())[1:]
        if symbols & {dim for dim in others if isinstance(dim, str)}:
            raise Unproven("the first dimension is another one too")
        found.append(Rows((Batch(), *(d if isinstance(d, int) else None for d in others))))
    return found


def _first_dim(declared: Declared) -> str:
    if not declared.dims or isinstance(declared.dims[0], int):
        raise Unproven(f"{declared.name[:_SHOWN]!r} has no first dimension that is free")
    return declared.dims[0]


def _constant(tensor: Tensor) -> Shared:
    return Shared(tensor.dims, tensor.items)


def _check_output(declared: Declared, value: Value | None) -> None:
    _first_dim(declared)
    if not isinstance(value, Rows) or value.axis != 0 or value.batch != Batch():
        name = declared.name[:_SHOWN]
        raise Unproven(f"output {name!r} isn't one row for each of the inputs'")


@dataclass(slots=True)
class _Walk:
    opsets: Mapping[str, int]
    functions: frozenset[tuple[str, str]]
    values: dict[str, Value] = field(default_factory=dict)

    def name(self, name: str, value: Value) -> None:
        """Each tensor has one name, and each name one tensor."""
        if name in self.values:
            raise Unproven(f"{name[:_SHOWN]!r} is there twice")
        self.values[name] = value

    def visit(self, node: Node) -> None:
        """What a node gives is known from now on.

        Nodes count too whose outputs nobody asks for: a run fails if they do.
        """
        try:
            found = self._outputs(node)
        except Unproven as error:
            raise Unproven(f"{node.op[:_SHOWN]}: {error}") from None
        for name, value in zip(node.outputs, found, strict=False):
            if name:
                self.name(name, value)

    def _outputs(self, node: Node) -> Sequence[Value]:
        version = self._version(node)
        args = tuple(self._arg(name) if name else None for name in node.inputs)
        if node.op == "Constant" and not node.domain:
            return [_constant_node(node)]
        return _ruled(Step(node, args, version))

    def _arg(self, name: str) -> Value:
        found = self.values.get(name)
        if found is None:
            raise Unproven(f"nothing is known of {name[:_SHOWN]!r}")
        return found

    def _version(self, node: Node) -> int:
        version = self.opsets.get(node.domain, 1 if node.domain == "com.microsoft" else 0)
        if version not in VERSIONS.get(node.domain, ()):
            raise Unproven(f"version {version} of operator set {node.domain[:_SHOWN]!r}")
        if (node.domain, node.op) in self.functions:
            raise Unproven("a function of the model's own")
        return version


def _ruled(step: Step) -> Sequence[Value]:
    rule = RULES.get((step.node.domain, step.node.op))
    if rule is None:
        raise Unproven("no rule says what this operator does with rows")
    try:
        found = rule(step)
    except Unproven:
        # Whatever it does, it does the same with what is the same.
        if all(isinstance(arg, Shared) and arg.steady for arg in step.args if arg is not None):
            return [Shared()] * len(step.node.outputs)
        raise
    return [found] if isinstance(found, Rows | Shared) else found


def _constant_node(node: Node) -> Value:
    attributes = node.attributes
    if "value" in attributes.tensors:
        return _constant(attributes.tensors["value"])
    for name in ("value_int", "value_ints", "value_floats"):
        if name in attributes.ints:
            return Shared((), (attributes.ints[name],))
        if name in attributes.lists:
            items = attributes.lists[name]
            return Shared((len(items),), items)
    return Shared()
