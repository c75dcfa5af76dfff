"""Whatever is proven of graphs made by chance is true of what onnxruntime does with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eais_server.worker.batching.rows.proof import prove
from tests.unit.server.worker.batching.graphs import (
    INT64,
    Array,
    N,
    graph,
    node,
    weights,
)
from tests.unit.server.worker.batching.oracle import oracle

SMALL: Final = st.integers(-4, 3)
SIZES: Final = st.sampled_from([1, 2, 3, 4])


@dataclass
class Chain:
    """A graph in the making: each step takes tensors that are there, and adds some."""

    draw: st.DrawFn
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    names: list[str] = field(default_factory=lambda: ["x"])

    def some(self) -> str:
        return self.draw(st.sampled_from(self.names[-3:]))

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def add(self, op: str, inputs: str, **attributes: Any) -> None:
        name = f"t{len(self.nodes)}"
        self.nodes.append(node(op, inputs, name, **attributes))
        self.names.append(name)

    def ints(self, least: int = 1, most: int = 3) -> list[int]:
        return self.draw(st.lists(SMALL, min_size=least, max_size=most))

    def weight(self) -> str:
        dims = self.draw(st.lists(SIZES, max_size=3))
        noise = np.random.default_rng(len(self.constants))
        return self.constant(noise.standard_normal(dims).astype(np.float32))


def _unary(chain: Chain) -> None:
    chain.add(chain.draw(st.sampled_from(["Relu", "Tanh", "Abs", "Identity"])), chain.some())


def _binary(chain: Chain) -> None:
    op = chain.draw(st.sampled_from(["Add", "Mul", "Max", "Sub"]))
    other = chain.weight() if chain.draw(st.booleans()) else chain.some()
    chain.add(op, f"{chain.some()} {other}")


def _matmul(chain: Chain) -> None:
    pair = [chain.some(), chain.weight() if chain.draw(st.booleans()) else chain.some()]
    chain.add("MatMul", " ".join(chain.draw(st.permutations(pair))))


def _reshape(chain: Chain) -> None:
    shape = chain.draw(st.lists(st.sampled_from([-1, 0, 1, 2, 3, 4, 6, 12]), max_size=4))
    chain.add("Reshape", f"{chain.some()} {chain.constant(np.array(shape, np.int64))}")


def _reshape_by_shape(chain: Chain) -> None:
    """To a shape that is computed of another's."""
    chain.add("Shape", chain.some(), start=0, end=chain.draw(st.integers(1, 2)))
    first = chain.names.pop()
    if chain.draw(st.booleans()):
        factor = chain.constant(np.array([chain.draw(SIZES)], np.int64))
        op = chain.draw(st.sampled_from(["Mul", "Div", "Add"]))
        chain.add(op, f"{first} {factor}")
        first = chain.names.pop()
    rest = chain.draw(st.lists(st.sampled_from([-1, 1, 2, 3, 4]), max_size=2))
    order = chain.draw(st.permutations([first, chain.constant(np.array(rest, np.int64))]))
    chain.add("Concat", " ".join(order), axis=0)
    shape = chain.names.pop()
    chain.add(chain.draw(st.sampled_from(["Reshape", "Expand"])), f"{chain.some()} {shape}")


def _transpose(chain: Chain) -> None:
    chain.add("Transpose", chain.some(), perm=chain.draw(st.permutations(range(3))))


def _swap_last(chain: Chain) -> None:
    chain.add("Transpose", chain.some(), perm=[0, 2, 1])


def _reduce(chain: Chain) -> None:
    op = chain.draw(st.sampled_from(["ReduceMean", "ReduceMax", "ReduceL2"]))
    chain.add(op, chain.some(), axes=chain.ints(1, 2), keepdims=chain.draw(st.integers(0, 1)))


def _along(chain: Chain) -> None:
    op = chain.draw(st.sampled_from(["Softmax", "LogSoftmax", "LpNormalization", "Hardmax"]))
    chain.add(op, chain.some(), axis=chain.draw(SMALL))


def _flatten(chain: Chain) -> None:
    chain.add("Flatten", chain.some(), axis=chain.draw(st.integers(-3, 3)))


def _unsqueeze(chain: Chain) -> None:
    op = chain.draw(st.sampled_from(["Unsqueeze", "Squeeze"]))
    chain.add(op, f"{chain.some()} {chain.constant(np.array(chain.ints(1, 2), np.int64))}")


def _squeeze_all(chain: Chain) -> None:
    chain.add("Squeeze", chain.some())


def _concat(chain: Chain) -> None:
    other = chain.weight() if chain.draw(st.booleans()) else chain.some()
    chain.add("Concat", f"{chain.some()} {other}", axis=chain.draw(SMALL))


def _gather(chain: Chain) -> None:
    shape = chain.draw(st.lists(st.integers(1, 2), max_size=2))
    where = chain.constant(chain.draw(st.integers(0, 1)) + np.zeros(shape, np.int64))
    chain.add("Gather", f"{chain.some()} {where}", axis=chain.draw(SMALL))


def _table(chain: Chain) -> None:
    """Rows of a table, chosen by the signs of what is there."""
    chain.add("Sign", chain.some())
    chain.add("Abs", chain.names.pop())
    chain.add("Cast", chain.names.pop(), to=INT64)
    where = chain.names.pop()
    chain.add("Gather", f"{chain.weight()} {where}", axis=chain.draw(SMALL))


def _slice(chain: Chain) -> None:
    begin, end, axis, step = (
        chain.constant(np.array([chain.draw(values)], np.int64))
        for values in (
            st.integers(0, 1),
            st.sampled_from([1, 2, -1, 1 << 40]),
            SMALL,
            st.sampled_from([1, 2, -1]),
        )
    )
    chain.add("Slice", f"{chain.some()} {begin} {end} {axis} {step}")


def _cumulate(chain: Chain) -> None:
    chain.add("CumSum", f"{chain.some()} {chain.constant(np.int64(chain.draw(SMALL)))}")


def _top(chain: Chain) -> None:
    name = chain.some()
    one = chain.constant(np.array([1], np.int64))
    made = f"t{len(chain.nodes)}"
    chain.nodes.append(node("TopK", f"{name} {one}", f"{made} {made}i", axis=chain.draw(SMALL)))
    chain.names.append(made)


def _norm(chain: Chain) -> None:
    scale = chain.weight()
    chain.add("LayerNormalization", f"{chain.some()} {scale}", axis=chain.draw(SMALL))


def _pad(chain: Chain) -> None:
    pads = chain.draw(st.lists(st.sampled_from([0, 0, 0, 1, -1]), min_size=4, max_size=6))
    chain.add("Pad", f"{chain.some()} {chain.constant(np.array(pads, np.int64))}")


def _tile(chain: Chain) -> None:
    often = chain.draw(st.lists(st.sampled_from([1, 1, 2]), min_size=2, max_size=3))
    chain.add("Tile", f"{chain.some()} {chain.constant(np.array(often, np.int64))}")


def _gemm(chain: Chain) -> None:
    flags = st.integers(0, 1)
    inputs = f"{chain.some()} {chain.weight()} {chain.weight()}"
    chain.add("Gemm", inputs, transA=chain.draw(flags), transB=chain.draw(flags))


def _einsum(chain: Chain) -> None:
    equation = chain.draw(
        st.sampled_from(["ab,bc->ac", "ab,ac->bc", "abc,cd->abd", "abc,abd->acd", "abc->cab"])
    )
    names = [chain.some(), chain.weight() if chain.draw(st.booleans()) else chain.some()]
    chain.add("Einsum", " ".join(names[: equation.count(",") + 1]), equation=equation)


def _trilu(chain: Chain) -> None:
    chain.add("Trilu", chain.some())


def _split(chain: Chain) -> None:
    made = f"t{len(chain.nodes)}"
    name = chain.some()
    chain.nodes.append(node("Split", name, f"{made} {made}b", axis=chain.draw(SMALL)))
    chain.names += [made, f"{made}b"]


STEPS: Final[list[Callable[[Chain], None]]] = [
    _unary,
    _binary,
    _binary,
    _matmul,
    _reshape,
    _reshape_by_shape,
    _reshape_by_shape,
    _transpose,
    _swap_last,
    _reduce,
    _along,
    _flatten,
    _unsqueeze,
    _squeeze_all,
    _concat,
    _gather,
    _table,
    _slice,
    _cumulate,
    _top,
    _norm,
    _pad,
    _tile,
    _gemm,
    _einsum,
    _trilu,
    _split,
]


@st.composite
def chains(draw: st.DrawFn) -> tuple[Chain, tuple[int | str, ...], tuple[int, ...]]:
    """A graph, its input's dims as it says them, and as they are after the first."""
    chain = Chain(draw)
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=5)):
        step(chain)
    dims = draw(st.sampled_from([(4,), (3, 4), (2, 3), (1,), (4, 4), (1, 1)]))
    free = (N, *("T" if draw(st.booleans()) and at == 0 else d for at, d in enumerate(dims)))
    chain.nodes.append(node("Identity", chain.names[-1], "y"))
    return chain, free, dims


def _declared(chain: Chain, dims: Any, rank: int | None) -> bytes:
    return graph(
        *chain.nodes,
        inputs={"x": dims},
        outputs={"y": (N, *[None] * ((rank or 1) - 1))},
        constants=weights(**chain.constants),
    )


def _model(chain: Chain, free: tuple[int | str, ...], rank: Callable[[bytes], int | None]) -> bytes:
    """With as many dims of the output as it has; the first that are said may not be taken."""
    model = b""
    for guess in (1, 2, 3, 4):
        model = _declared(chain, free, guess)
        found = rank(model)
        if found is not None:
            return _declared(chain, free, found)
    return model


def test_what_is_proven_is_true() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(chains())
    def check(made: tuple[Chain, tuple[int | str, ...], tuple[int, ...]]) -> None:
        chain, free, dims = made
        model = _model(chain, free, lambda model: asked.rank(model, dims))
        alike = asked.alike(model, dims) if prove(model).holds else None
        seen[str(alike)] += 1
        assert alike is not False

    with oracle() as asked:
        check()
    assert seen["True"] > seen.total() / 20
