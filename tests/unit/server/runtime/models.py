"""Small models made on the spot, and the wheel's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

DATASETS = Path(ort.__file__).parent / "datasets"
LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def dataset(name: str) -> bytes:
    """A model of onnxruntime's wheel."""
    return (DATASETS / f"{name}.onnx").read_bytes()


def model(
    *nodes: onnx.NodeProto,
    inputs: list[Any],
    outputs: list[Any],
    opset: int = 17,
    ir: int = 8,
    domains: tuple[str, ...] = (),
    initializers: tuple[onnx.TensorProto, ...] = (),
) -> bytes:
    """A serialised model of these nodes; inputs and outputs as `info` makes them."""
    graph = helper.make_graph(list(nodes), "g", inputs, outputs, initializer=list(initializers))
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    made = helper.make_model(graph, opset_imports=imports)
    made.ir_version = ir
    return made.SerializeToString()


def info(name: str, kind: int = TensorProto.FLOAT, dims: Any = (2,)) -> Any:
    """An input or output."""
    return helper.make_tensor_value_info(name, kind, dims)


def one_op(op: str, domain: str = "", **attributes: Any) -> bytes:
    """x -> op -> y, both float[2]."""
    node = helper.make_node(op, ["x"], ["y"], domain=domain, **attributes)
    domains = (domain,) if domain else ()
    return model(node, inputs=[info("x")], outputs=[info("y")], domains=domains)


def relu(opset: int = 17, ir: int = 8) -> bytes:
    """y = max(x, 0), stamped as asked."""
    node = helper.make_node("Relu", ["x"], ["y"])
    return model(node, inputs=[info("x")], outputs=[info("y")], opset=opset, ir=ir)


def external(location: str, **entries: str) -> bytes:
    """y = x + w, with w's eight bytes in another file."""
    w = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2])
    w.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": location} | entries).items():
        w.external_data.add(key=key, value=value)
    node = helper.make_node("Add", ["x", "w"], ["y"])
    return model(node, inputs=[info("x")], outputs=[info("y")], initializers=(w,))


def endless() -> bytes:
    """A Loop that goes on for 2^62 trips; takes x, gives y."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["go"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body",
        [info("i", TensorProto.INT64, []), info("on", TensorProto.BOOL, []), info("v")],
        [info("go", TensorProto.BOOL, []), info("w")],
    )
    trips = helper.make_tensor("trips", TensorProto.INT64, [], [1 << 62])
    on = helper.make_tensor("on0", TensorProto.BOOL, [], [True])
    loop = helper.make_node("Loop", ["trips", "on0", "x"], ["y"], body=body)
    return model(loop, inputs=[info("x")], outputs=[info("y")], initializers=(trips, on))


def bomb() -> bytes:
    """Allocates as many floats as the input says."""
    node = helper.make_node("ConstantOfShape", ["n"], ["y"])
    return model(node, inputs=[info("n", TensorProto.INT64, [1])], outputs=[info("y", dims=["n"])])


def depth_to_space_2_32() -> bytes:
    """Kills with SIGFPE whoever loads it."""
    node = helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=1 << 32)
    return model(node, inputs=[info("x", dims=[1, 4, 2, 2])], outputs=[info("y", dims=None)])


def divide() -> bytes:
    """z = x / y, int32[2]. On x86-64 the lowest number by -1 kills by SIGFPE whoever runs it."""
    node = helper.make_node("Div", ["x", "y"], ["z"])
    x, y, z = (info(name, TensorProto.INT32) for name in "xyz")
    return model(node, inputs=[x, y], outputs=[z])


def nested(depth: int) -> bytes:
    """An If in an If, `depth` of them; takes x and on, gives x. Written by hand: onnx can't."""
    graph = identity_graph("y0")
    for level in range(1, depth + 1):
        branches = branch(b"then_branch", graph) + branch(
            b"else_branch", identity_graph(f"e{level}")
        )
        name = f"y{level}"
        node = field(1, b"on") + field(2, name.encode()) + field(4, b"If") + branches
        graph = field(1, node) + field(2, b"g") + field(12, info(name).SerializeToString())
    inputs = (info("x"), info("on", TensorProto.BOOL, []))
    graph += b"".join(field(11, i.SerializeToString()) for i in inputs)
    opset = helper.make_opsetid("", 17).SerializeToString()
    return b"\x08\x08" + field(7, graph) + field(8, opset)


def identity_graph(output: str) -> bytes:
    """A serialised graph that gives the outer x."""
    node = helper.make_node("Identity", ["x"], [output])
    return helper.make_graph([node], "g", [], [info(output)]).SerializeToString()


def branch(name: bytes, graph: bytes) -> bytes:
    """An attribute that holds a graph, as a field of its node."""
    return field(5, field(1, name) + field(6, graph) + b"\xa0\x01\x05")


def field(number: int, data: bytes) -> bytes:
    """One length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
