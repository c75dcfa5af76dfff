"""The driver of NVIDIA's GPUs does what every driver must, with each provider that is installed."""

from __future__ import annotations

import pytest

from eais_server.runtime.providers import built_in
from eais_server.testing.devices import check_device
from tests.gpu.conftest import Maker

pytestmark = pytest.mark.gpu


def test_it_is_a_device_driver_with_cuda(maker: Maker) -> None:
    check_device(lambda: maker(libraries=lambda: ("cuda",)), tolerance=1e-4)


def test_it_is_a_device_driver_with_tensorrt(maker: Maker) -> None:
    if "tensorrt" not in built_in():
        pytest.skip("this onnxruntime has no TensorRT provider")
    # bfloat16 is among its runtimes.
    check_device(lambda: maker(libraries=lambda: ("tensorrt",)), tolerance=0.05)
