"""The pool's live policy on its live state, with many devices and more and more instances.

One manager's brain, without its journal's disk and without links: hosts of 8 accelerators and 64
cores each, and attaches of a fixed mix of small types. An attach is all that the brain does about
one: the request is decided and its facts applied, and so is what the host says then. A decision
is the policy's part of it. For each size:

- decision_us, attach_us: means over the last attaches, in processor time;
- decisions_per_s, attaches_per_s: what that comes to;
- memory_mib: what the process has beyond what it had before the first host.

What is worked out anew now and then, as demand is learned, counts where it falls, so that sizes
are measured over `MEASURED` attaches.
"""

from __future__ import annotations

import gc
import itertools
import math
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from eais_pool.brain.actions import Action, Journal, Refuse, Send
from eais_pool.brain.address_plan import AddressPlan
from eais_pool.brain.events import Event, ManagerStarted, OpRequested
from eais_pool.brain.reactor import Reactor
from eais_pool.brain.records import OpVerb
from eais_pool.brain.settings import Settings
from eais_pool.brain.state import PoolState
from eais_pool.policy import Ask, HostView, Placement, Policy, Refusal
from eais_pool.policy.placement.live import policy_of
from eais_pool.testing import FakeHost
from eais_pool.testing.brains import device

ACCELERATORS: Final = 8
CORES: Final = 64
KINDS: Final = ("gpu", "npu", "fpga", "gpu")
"""Of each fourth host."""
MIX: Final = {"cpu.1-8": 50, "gpu.1-8": 20, "npu.1-8": 8, "fpga.1-8": 8, "gpu.1-4": 2, "cpu.1": 2}
"""Types and their weights: small ones, as there are to be more instances than devices."""
LENIENCE: Final = 1.5
"""Of a busy machine, from one size to the next."""
MEASURED: Final = 500
"""Attaches that a size is measured over."""


class Timed:
    """A policy, and the processor time that it took."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.took_s = 0.0

    def place(self, ask: Ask, hosts: Sequence[HostView]) -> Placement | Refusal:
        """See `Policy`."""
        began = time.thread_time()
        found = self._policy.place(ask, hosts)
        self.took_s += time.thread_time() - began
        return found


class World:
    """A manager's brain and its hosts, which obey at once."""

    def __init__(self, policy: Policy, devices: int, seed: int) -> None:
        made = (f"ei-{n:016x}" for n in itertools.count(1))
        self.policy = Timed(policy)
        self.state = PoolState()
        self.refused = 0
        settings = Settings(AddressPlan("10.0.0.0/8"))
        self._reactor = Reactor(settings, self.policy, lambda: next(made))
        self._hosts = {host.name: host for host in _hosts(devices)}
        self._rng = random.Random(seed)
        self._feed(ManagerStarted("boot-1"))
        for host in self._hosts.values():
            self._feed(host.join())

    def attach(self) -> None:
        """One more instance, if there is room."""
        op_id = str(uuid.UUID(int=self.state.serial + self.refused + 1))
        [wanted] = self._rng.choices(list(MIX), list(MIX.values()))
        self._feed(OpRequested(OpVerb.ATTACH, "acme", "box", op_id, "", wanted))

    def _feed(self, event: Event) -> None:
        waiting = [event]
        while waiting:
            actions = self._reactor.on_event(self.state, waiting.pop(), 1000.0)
            waiting += self._done(actions)

    def _done(self, actions: Sequence[Action]) -> Iterator[Event]:
        for action in actions:
            if isinstance(action, Journal):
                for fact in action.facts:
                    self.state.apply(fact)
            elif isinstance(action, Send):
                yield self._hosts[action.host].obey(action.command)
            elif isinstance(action, Refuse):
                self.refused += 1


def measure(sizes: Sequence[int], devices: int, placement: str, seed: int = 42) -> dict[str, Any]:
    """All figures, by how many instances there are."""
    before = _memory_mib()
    world = World(policy_of(placement), devices, seed)
    found: dict[str, Any] = {"devices": devices, "placement": placement, "sizes": []}
    asked = 0
    for size in sizes:
        over = min(MEASURED, size - asked)
        while asked < size - over:
            world.attach()
            asked += 1
        world.policy.took_s, began = 0.0, time.thread_time()
        for _ in range(over):
            world.attach()
        asked = size
        attach_s, decision_s = (time.thread_time() - began) / over, world.policy.took_s / over
        found["sizes"].append(
            {
                "instances": len(world.state.instances),
                "decision_us": 1e6 * decision_s,
                "decisions_per_s": 1 / decision_s,
                "attach_us": 1e6 * attach_s,
                "attaches_per_s": 1 / attach_s,
                "memory_mib": _memory_mib() - before,
            }
        )
    return found | {"refused": world.refused}


def missed(found: dict[str, Any]) -> list[str]:
    """An attach that costs more, the more instances there are, than the logarithm of that."""
    first, *rest = found["sizes"]
    said = []
    for each in rest:
        most = (
            first["attach_us"]
            * LENIENCE
            * math.log(each["instances"])
            / math.log(first["instances"])
        )
        if each["attach_us"] > most:
            n, us = each["instances"], each["attach_us"]
            said.append(f"with {n} instances an attach takes {us:.0f} us, and may take {most:.0f}")
    return said


def _hosts(devices: int) -> Iterator[FakeHost]:
    for n in range(devices // ACCELERATORS):
        kind = KINDS[n % len(KINDS)]
        accelerators = [device(f"{kind}{i}", kind, 1000) for i in range(ACCELERATORS)]
        yield FakeHost(f"h{n:05}", [device("cpu0", "cpu", CORES * 1000), *accelerators])


def _memory_mib() -> float:
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS in /proc/self/status")
