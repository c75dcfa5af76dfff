"""Profiles and candidates that the tests of the policy share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from eais.device_type import DeviceKind
from eais.tolerance import Precision
from eais_pool.policy.choosing import Candidate, Runner
from eais_pool.policy.curves import Curve
from eais_pool.policy.profiles import Profile, ProfileKey

DIGEST = "0" * 64
CPU = Runner(DeviceKind.CPU, "some CPU", "onnxruntime", Precision.FP32)
CPU_BF16 = Runner(DeviceKind.CPU, "some CPU", "openvino", Precision.BF16)
GPU = Runner(DeviceKind.GPU, "some GPU", "cuda", Precision.FP32)
FPGA = Runner(DeviceKind.FPGA, "some FPGA", "vitisai", Precision.FP32)

Times = Callable[[int, int], float]
"""Seconds of a batch on a share of so many milli-devices."""


def cpu_times(batch: int, share: int) -> float:
    return 0.0001 + 0.040 * batch * 1000 / share


def gpu_times(batch: int, share: int) -> float:
    return 0.0005 + (0.002 + 0.0002 * batch) * 1000 / share


def profile(runner: Runner, share: int, times: Times, samples: int = 50) -> Profile:
    """Of batches of 1, 4, 16 and 64, without noise."""
    key = ProfileKey(DIGEST, runner.device_model, share, runner.runtime, runner.precision)
    measured = {batch: [times(batch, share)] * samples for batch in (1, 4, 16, 64)}
    return Profile.of(key, runner.kind, measured)


def curve(runner: Runner, times: Times, shares: Iterable[int]) -> Curve:
    """All that can be known of a runner."""
    return Curve(profile(runner, share, times) for share in shares)


CPU_SHARES = (1000, 2000, 4000, 8000)
GPU_SHARES = (125, 250, 500, 1000)
CURVES = {CPU: curve(CPU, cpu_times, CPU_SHARES), GPU: curve(GPU, gpu_times, GPU_SHARES)}
CANDIDATES = (
    *(Candidate(CPU, share) for share in CPU_SHARES),
    *(Candidate(GPU, share) for share in GPU_SHARES),
)
