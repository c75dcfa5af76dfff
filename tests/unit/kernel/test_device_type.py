"""Types as people write them."""

from __future__ import annotations

import pytest

from eais.device_type import DeviceKind, DeviceType
from eais.errors import UsageError


@pytest.mark.parametrize(
    ("text", "kind", "milli"),
    [
        ("cpu", DeviceKind.CPU, 1000),
        ("cpu.4", DeviceKind.CPU, 4000),
        ("gpu", DeviceKind.GPU, 1000),
        ("gpu.1-8", DeviceKind.GPU, 125),
        ("gpu.3-4", DeviceKind.GPU, 750),
        ("npu.1-2", DeviceKind.NPU, 500),
        ("fpga.2", DeviceKind.FPGA, 2000),
        ("auto", None, 1000),
    ],
)
def test_types(text: str, kind: DeviceKind | None, milli: int) -> None:
    parsed = DeviceType.parse(text)
    assert (parsed.kind, parsed.milli, parsed.text) == (kind, milli, text)


@pytest.mark.parametrize(
    "text",
    ["", "tpu", "cpu.0", "cpu.-1", "gpu.8-8", "gpu.1-3", "gpu.9-8", "CPU", "cpu.1 ", "cpu.1-"],
)
def test_others_are_refused_by_saying_what_a_type_is(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        DeviceType.parse(text)
    assert caught.value.reason == "TYPE_UNKNOWN"


@pytest.mark.parametrize(
    ("text", "tolerance"), [("cpu.2", "exact"), ("auto", "fp32"), ("gpu", "fp32")]
)
def test_default_tolerance(text: str, tolerance: str) -> None:
    assert DeviceType.parse(text).default_tolerance == tolerance
