"""A model that is being measured: what is asked of hosts for it, and how far it is. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from eais.device_type import type_text
from eais.tolerance import Tolerance
from eais_pool.policy.choosing import Runner
from eais_pool.policy.forecasting import Demand
from eais_pool.policy.measuring import Measuring
from eais_pool.policy.measuring_events import Device, Limits, RunBatch
from eais_pool.policy.profiles import Profile


@dataclass(frozen=True, slots=True)
class Rules:
    """How models are measured.

    Attributes:
        after_s: a session is open so long before its model is measured unasked; 0: never.
        limits: of one model.
        runs: of one batch, at most, while `within_ms` last.
    """

    after_s: float = 30.0
    limits: Limits = field(default_factory=Limits)
    runs: int = 5
    within_ms: int = 300


@dataclass(frozen=True, slots=True)
class Model:
    """A tenant's model.

    Attributes:
        digest: SHA-256 in hex.
        spec: what it is opened with, base64 of its wire form.
    """

    tenant: str
    digest: str
    spec: str


@dataclass(frozen=True, slots=True)
class Order:
    """Have a host time a batch."""

    host: str
    study: str
    number: int
    model: Model
    device: str
    share_milli: int
    runtime: str
    batch: int
    runs: int
    within_ms: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Have a host measure no more for a study; `device`: there alone."""

    host: str
    study: str
    device: str = ""


@dataclass(eq=False, slots=True)
class Study:
    """One model being measured.

    Attributes:
        asked: somebody waits for it.
        measuring: once it has begun; `before`: on other devices.
        later: devices that are measured then.
        places: host and device, by the measuring's id of the device.
        orders: what is under way, by its number.
        unmeasured: where it couldn't be, and why.
        over: why it ended; "" before.
    """

    id: str
    model: Model
    demand: Demand
    asked: bool
    measuring: Measuring | None = None
    before: list[Measuring] = field(default_factory=list)
    later: list[Device] = field(default_factory=list)
    places: dict[str, tuple[str, str]] = field(default_factory=dict)
    orders: dict[int, RunBatch] = field(default_factory=dict)
    unmeasured: dict[tuple[str, str], str] = field(default_factory=dict)
    batches: int = 0
    over: str = ""
    ended_at: float = 0.0

    def profiles(self, measured_unix_s: float) -> list[Profile]:
        """What was measured."""
        found = [*self.before, *([self.measuring] if self.measuring else [])]
        return [profile for each in found for profile in each.profiles(measured_unix_s)]

    def busy(self) -> list[str]:
        """Where it is measured now, in words."""
        found = (each for _, each in sorted(self.orders.items()))
        return [f"{e.runner.device_model} ({_type(e.runner, e.share_milli)})" for e in found]


@dataclass(frozen=True, slots=True)
class Keep:
    """Journal what was measured."""

    study: Study


Action: TypeAlias = Order | Stop | Keep


def demand_of(tolerance: str, slo_p99_us: int = 0) -> Demand:
    """What is asked of a device for a model's sake."""
    slo_s = slo_p99_us / 1e6 if slo_p99_us else None
    return Demand(slo_p99_s=slo_s, tolerance=Tolerance.checked(tolerance or Tolerance.FP32))


def _type(runner: Runner, share_milli: int) -> str:
    return type_text(runner.kind, share_milli)
