"""What the tests on a GPU need; without it they are skipped, and say what is missing."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from eais_server.devices.cuda import VISIBLE, CudaDriver
from eais_server.devices.driver import DeviceInfo
from eais_server.runtime.providers import built_in

Maker = Callable[..., CudaDriver]
HOW = (
    "; .venv/bin/pip uninstall -y onnxruntime && "
    ".venv/bin/pip install 'onnxruntime-gpu[cuda,cudnn]' nvidia-ml-py"
)


@pytest.fixture(scope="session")
def gpu() -> None:
    """A GPU, whatever else is installed."""
    if not list(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("there is no NVIDIA GPU here")


@pytest.fixture(scope="session")
def uuid(gpu: None) -> str:
    """Of the first GPU that this installation can use."""
    if find_spec("pynvml") is None:
        pytest.skip(f"nvidia-ml-py isn't installed{HOW}")
    if "cuda" not in built_in():
        pytest.skip(f"this onnxruntime has no CUDA provider{HOW}")
    driver = CudaDriver()
    infos = driver.fingerprint()
    if not infos:
        pytest.skip("NVML shows no GPU that could be offered")
    return driver.reserve(infos[0].id, infos[0].capacity_milli).words["uuid"]


@pytest.fixture
def maker(uuid: str, monkeypatch: pytest.MonkeyPatch) -> Maker:
    """Makes drivers of that GPU alone: one process is on one of them for its life."""
    monkeypatch.setenv(VISIBLE, uuid)
    return CudaDriver


@pytest.fixture
def device(maker: Maker) -> DeviceInfo:
    (info,) = maker().fingerprint()
    return info
