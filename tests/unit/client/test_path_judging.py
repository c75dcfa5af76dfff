"""What doctor says of the path to an instance, from what was measured."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from eais.errors import Unavailable
from eais_client.doctor.path import MODEL
from eais_client.doctor.path_judging import Measured, Pings, Way, judge, silence

GOOD = Measured((0.0002, 0.00025, 0.004), 125e6, 250e6)


def test_a_good_path_is_one_line() -> None:
    said = judge(Way("vxlan", 1450), GOOD)
    assert (
        said == "vxlan, MTU 1450, a small call takes 0.25 ms (0.2 to 4), up 1 Gbit/s, down 2 Gbit/s"
    )


@pytest.mark.parametrize(
    ("way", "measured", "words"),
    [
        (Way("vxlan", 1450, 1_250_000), Measured((0.001,), 1.2e6, 1.21e6), "its cap is 10 Mbit/s"),
        (Way("host", 0, 125_000_000), Measured((0.001,), 1e6, 1e8), "less than its cap of 1 Gbit"),
        (Way("host"), Measured((0.001,), 1.2e6, 1e9), "slow: large tensors"),
        (Way("host"), Measured((0.04, 0.05, 0.06), 1e9, 1e9), "far: many calls at a time"),
    ],
)
def test_what_is_remarkable_is_said(way: Way, measured: Measured, words: str) -> None:
    assert words in judge(way, measured)


@pytest.mark.parametrize(
    ("measured", "which"),
    [
        (Measured((0.001,), 0.0, 1e9), "to the instance"),
        (Measured((0.001,), 1e9, 0.0), "from the instance"),
        (Measured((0.001,)), "to and from the instance"),
    ],
)
def test_large_packets_that_are_lost_are_told_from_a_dead_path(
    measured: Measured, which: str
) -> None:
    with pytest.raises(Unavailable, match=which) as error:
        judge(Way("vxlan", 1450), measured)
    assert error.value.reason == "HOST_UNREACHABLE"
    assert "1450" in error.value.message
    assert "mtu" in error.value.hint
    with pytest.raises(Unavailable, match="full packets"):
        judge(Way("host"), measured)


@pytest.mark.parametrize(
    ("driver", "pings", "words"),
    [
        ("vxlan", Pings(False), ("nor is a ping", "by the vxlan vNIC", "UDP 4789")),
        ("wireguard", Pings(False), ("nor is a ping", "UDP 51820 and above", "eais net status")),
        ("veth", Pings(False), ("nor is a ping", "both its ends")),
        ("vxlan", Pings(True, False), ("small pings are answered", "1450 bytes are lost", "MTU")),
        ("wireguard", Pings(), ("it is silent", "UDP 51820", "MTU is too large")),
    ],
)
def test_why_nobody_answers_by_a_vnic(driver: str, pings: Pings, words: tuple[str, ...]) -> None:
    said = silence(Way(driver, 1450), "it is silent", pings)
    assert said is not None
    assert said.reason == "HOST_UNREACHABLE"
    assert all(word in f"{said.message} ({said.hint})" for word in words)


@pytest.mark.parametrize("full", [True, None])
def test_a_way_that_answers_is_not_to_blame(full: bool | None) -> None:
    assert silence(Way("vxlan", 1450), "it is silent", Pings(True, full)) is None


def test_its_model_is_what_it_says() -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    c, s = (helper.make_tensor_value_info(name, TensorProto.INT64, [1]) for name in "cs")
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["m"])
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("ConstantOfShape", ["c"], ["y"]),
    ]
    found = onnx.load_from_string(MODEL)
    onnx.checker.check_model(found, full_check=True)
    assert found.graph == helper.make_graph(nodes, "g", [x, c], [s, y])
