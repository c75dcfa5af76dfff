"""Random models, devices and demands of which the truth is known: what a roofline says.

A batch of b items on a share s of a device takes

    host + (layers·launch + max'(compute, memory)) / s^a

- compute = b·flops / (peak·u), where u = b·width / (b·width + fill) is how far b items of which
  each can use `width` lanes fill a device that needs `fill` to be busy;
- memory = (weights + b·traffic) / bandwidth;
- max' is the smooth maximum (x^4 + y^4)^(1/4): Williams, Waterman and Patterson, "Roofline",
  Communications of the ACM 52, 2009, has the corner, machines round it;
- `a` is how well shares scale: 1 for turns at a device, less for cores, which share memory;
- an NPU pads batches to a multiple of 4, an FPGA fills its pipeline first (`layers·launch`).

Magnitudes are those of what is sold: a CPU core of tens of Gflop/s, an FPGA or NPU of some
Tflop/s, a GPU of tens; models from a small classifier to a large vision model. The chooser knows
none of these forms.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from eais.device_type import DeviceKind
from eais.tolerance import Precision, Tolerance
from eais_pool.policy.choosing import Candidate, Runner, cost_of, may_serve, shares_weighed
from eais_pool.policy.forecasting import Demand, sizes
from eais_pool.policy.measuring_events import Device
from eais_pool.policy.prices import DEFAULTS, Prices
from eais_pool.policy.queueing import Service, p99

JITTER = 0.10
"""Of batches, which is also the noise that they are measured with."""


@dataclass(frozen=True)
class Model:
    """What a model needs: for one item, but for `weights` (bytes) and `layers`."""

    flops: float
    traffic: float
    weights: float
    layers: int
    width: float

    @classmethod
    def drawn(cls, chance: random.Random) -> Model:
        """One, from a small classifier to a large vision model."""
        flops = _between(chance, 1e7, 3e10)
        weights = flops * _between(chance, 0.003, 0.3)
        traffic = flops * _between(chance, 0.001, 0.03)
        return cls(flops, traffic, weights, chance.randint(8, 150), _between(chance, 1e3, 1e5))


@dataclass(frozen=True)
class Truth:
    """What one runtime makes of one model on one device."""

    host_s: float
    fixed_s: float
    flops_per_s: float
    bytes_per_s: float
    fill: float
    scaling: float
    padding: int
    model: Model

    def seconds(self, batch: int, share_milli: int) -> float:
        """What a batch takes on average."""
        items = -(-batch // self.padding) * self.padding
        model = self.model
        filled = items * model.width / (items * model.width + self.fill)
        compute = items * model.flops / (self.flops_per_s * filled)
        memory = (model.weights + items * model.traffic) / self.bytes_per_s
        work = self.fixed_s + (compute**4 + memory**4) ** 0.25
        return float(self.host_s + work / (share_milli / 1000) ** self.scaling)


@dataclass(frozen=True)
class World:
    """Devices, what is asked, and what each candidate would truly do."""

    devices: tuple[Device, ...]
    truths: dict[Runner, Truth]
    prices: Prices
    demand: Demand

    @cached_property
    def candidates(self) -> list[Candidate]:
        """All of them."""
        return [each for device in self.devices for each in device.candidates]

    @cached_property
    def admitted(self) -> list[Candidate]:
        """Those whose precision is tolerated."""
        return [
            each for each in self.candidates if self.demand.tolerance.admits(each.runner.precision)
        ]

    def p99_s(self, candidate: Candidate, rate: float | None = None) -> float:
        """What 99 of 100 calls truly take at most; infinity if they come too fast."""
        asked = self.demand.rate_per_s if rate is None else rate
        batches = sizes(self.demand.batch_most)
        truth = self.truths[candidate.runner]
        seconds = [truth.seconds(batch, candidate.share_milli) for batch in batches]
        found = p99(Service(batches, seconds, JITTER), asked or 0.0)
        return found.p99_s if found else math.inf

    def meets(self, candidate: Candidate, rate: float | None = None) -> bool:
        """Whether it may serve, and truly meets what is asked."""
        cost = cost_of(candidate, self.prices, self.demand)
        able = may_serve(self.demand, candidate, cost) is None
        return able and self.p99_s(candidate, rate) <= self.demand.target_s

    def cost(self, candidate: Candidate) -> float:
        """What an hour of it costs."""
        return cost_of(candidate, self.prices, self.demand)

    def best(self) -> Candidate | None:
        """The cheapest that truly meets what is asked, found by looking at every one."""
        return self._cheapest(self.candidates)

    def best_of_all_sold(self) -> Candidate | None:
        """The same, of every eighth and every number of cores."""
        ends: dict[Runner, tuple[Candidate, Candidate]] = {}
        for each in self.candidates:
            least, _ = ends.setdefault(each.runner, (each, each))
            ends[each.runner] = (least, each)
        sold = [
            replace(least, share_milli=milli)
            for least, most in ends.values()
            for milli in range(least.share_milli, most.share_milli + 1, least.share_milli)
        ]
        return self._cheapest(sold)

    def _cheapest(self, candidates: Iterable[Candidate]) -> Candidate | None:
        meeting = [each for each in candidates if self.meets(each)]
        return min(meeting, key=self.cost, default=None)


def drawn(seed: int) -> World:
    """The world of that number."""
    chance = random.Random(seed)
    model = Model.drawn(chance)
    truths: dict[Runner, Truth] = {}
    devices = []
    kinds = [DeviceKind.CPU, DeviceKind.GPU]
    kinds += chance.sample([DeviceKind.GPU, DeviceKind.NPU, DeviceKind.FPGA], 2)
    for n, kind in enumerate(kinds):
        mine = _HARDWARE[kind](chance, model, f"{kind.value}-model-{n}")
        truths |= mine
        devices.append(Device(f"{kind.value}{n}", _shares(chance, kind, mine)))
    prices = Prices({kind: price * _between(chance, 0.6, 1.7) for kind, price in DEFAULTS.items()})
    return World(tuple(devices), truths, prices, _demand(chance))


def _demand(chance: random.Random) -> Demand:
    """What somebody asks, whatever devices there are."""
    return Demand(
        slo_p99_s=_between(chance, 0.01, 1.0),
        rate_per_s=None if chance.random() < 0.15 else _between(chance, 0.2, 2000),
        tolerance=chance.choice([Tolerance.FP32, Tolerance.FP32, Tolerance.BF16]),
        batch_most=chance.choice([1, 8, 32, 64]),
    )


def _shares(
    chance: random.Random, kind: DeviceKind, runners: dict[Runner, Truth]
) -> tuple[Candidate, ...]:
    grain, most = {
        DeviceKind.CPU: (1000, 8000),
        DeviceKind.GPU: (125, 1000),
        DeviceKind.NPU: (125, 1000),
        DeviceKind.FPGA: (500, 1000),
    }[kind]
    setup = _between(chance, 1, 30) if kind is DeviceKind.FPGA else 0.0
    return tuple(
        Candidate(runner, share, setup)
        for runner in runners
        for share in shares_weighed(grain, most)
    )


def _cpu(chance: random.Random, model: Model, name: str) -> dict[Runner, Truth]:
    peak, bandwidth = _between(chance, 1.5e10, 6e10), _between(chance, 5e9, 1.5e10)
    host, scaling = _between(chance, 2e-5, 1e-4), chance.uniform(0.75, 0.98)
    found = {}
    quicker = _between(chance, 0.7, 1.5)
    for runtime, precision, factor in (
        ("onnxruntime", Precision.FP32, 1.0),
        ("openvino", Precision.FP32, quicker),
        ("openvino", Precision.BF16, quicker * _between(chance, 1.2, 2.5)),
    ):
        runner = Runner(DeviceKind.CPU, name, runtime, precision)
        flops, fixed = peak * factor, model.layers * _between(chance, 5e-7, 3e-6)
        found[runner] = Truth(host, fixed, flops, bandwidth, 50.0, scaling, 1, model)
    return found


def _gpu(chance: random.Random, model: Model, name: str) -> dict[Runner, Truth]:
    peak, bandwidth = _between(chance, 4e12, 6e13), _between(chance, 3e11, 3e12)
    host, fill = _between(chance, 5e-5, 3e-4), _between(chance, 2e4, 3e5)
    launch, scaling = _between(chance, 3e-6, 1.2e-5), chance.uniform(0.95, 1.0)
    found = {}
    for runtime, precision, factor in (
        ("cuda", Precision.FP32, 1.0),
        ("tensorrt", Precision.BF16, _between(chance, 1.3, 3.0)),
    ):
        runner = Runner(DeviceKind.GPU, name, runtime, precision)
        fixed = model.layers * launch / factor
        found[runner] = Truth(host, fixed, peak * factor, bandwidth, fill, scaling, 1, model)
    return found


def _npu(chance: random.Random, model: Model, name: str) -> dict[Runner, Truth]:
    runner = Runner(DeviceKind.NPU, name, "cann", Precision.FP32)
    peak, bandwidth = _between(chance, 1e12, 8e12), _between(chance, 5e10, 3e11)
    host, fixed = _between(chance, 1e-4, 5e-4), model.layers * _between(chance, 2e-6, 8e-6)
    return {runner: Truth(host, fixed, peak, bandwidth, 1e4, 1.0, 4, model)}


def _fpga(chance: random.Random, model: Model, name: str) -> dict[Runner, Truth]:
    runner = Runner(DeviceKind.FPGA, name, "vitisai", Precision.FP32)
    peak, bandwidth = _between(chance, 3e11, 4e12), _between(chance, 2e10, 8e10)
    host, fixed = _between(chance, 3e-5, 1e-4), model.layers * _between(chance, 1e-6, 5e-6)
    return {runner: Truth(host, fixed, peak, bandwidth, 0.0, 1.0, 1, model)}


_HARDWARE = {
    DeviceKind.CPU: _cpu,
    DeviceKind.GPU: _gpu,
    DeviceKind.NPU: _npu,
    DeviceKind.FPGA: _fpga,
}


def _between(chance: random.Random, low: float, high: float) -> float:
    """Drawn evenly on a logarithmic scale."""
    return math.exp(chance.uniform(math.log(low), math.log(high)))
