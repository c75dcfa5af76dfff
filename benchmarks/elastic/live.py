"""A real pool, its processes and onnxruntime, under a load that triples, halves and stops.

What is lent: one core, in eighths, and a simulated GPU, which computes on the machine's other
core, beside the load: so no share of it answers sooner than such a part of a core does. What that
comes to is measured by the pool's own profiler, and printed. Who had a piece of a core alone would
have all of it: so a neighbour has the core's other three quarters, and calls without pause.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import eais
from benchmarks.context import context_of
from benchmarks.elastic.calls import Calls, Neighbour, Phase, Sent, boot_clock, due_at
from benchmarks.elastic.recorded import Recorded, recorded
from eais.rpc import verbs
from eais.rpc.v1 import ledger_pb2, listener_pb2, pool_pb2, profiles_pb2
from eais_client.demo.file_types import model_file
from tests.system.stack import Stack, embedded_pool, eventually, op

CONFIG: Final = '[listener]\ncpu_cores = 1\nsimulate = "gpu=1"\n[manager]\nratio_awake_s = 15.0\n'
KINDS: Final = ("cpu.1-8", "gpu")
NEIGHBOUR: Final = "cpu.3-4"
MOST: Final = 2
SLO_S: Final = 1.0
_PROFILED_S: Final = 120.0
_ANSWERED_S: Final = 60.0
_ASLEEP_S: Final = 120.0
_SETTLED_S: Final = 2.0


@dataclass(frozen=True)
class Loaded:
    """What was seen from outside; times are of the boot clock, in seconds.

    Attributes:
        begin: when the first phase did.
        lost, wrong: what calls were lost for, and how many; the neighbour's, too.
        workers: that it had at the end.
        asleep_s: from the end of the load until it had none.
        cost: as the ledger has it.
    """

    instance: str
    begin: float
    calls: tuple[Sent, ...]
    lost: dict[str, int]
    wrong: int
    workers: int
    asleep_s: float
    cost: float


@dataclass(frozen=True)
class Run:
    """What was measured before, what was asked, what came of it, and what the pool wrote down."""

    profiles: tuple[profiles_pb2.ModelProfile, ...]
    phases: tuple[Phase, ...]
    loaded: Loaded
    recorded: Recorded


def run(phase_s: float, seed: int) -> Run:
    """Bring a pool up, load it, and take it down; some six minutes with phases of 75 s."""
    with tempfile.TemporaryDirectory() as folder:
        with embedded_pool(Path(folder) / "pool", CONFIG) as stack, context_of(stack):
            profiles = _profiled(stack)
            phases = _phases(profiles, phase_s)
            loaded = _loaded(stack, phases, seed)
        # A pool that runs keeps its journal to itself.
        journal = stack.state / "manager" / "journal.sqlite"
        return Run(profiles, phases, loaded, recorded(journal, loaded.instance))


def _loaded(stack: Stack, phases: tuple[Phase, ...], seed: int) -> Loaded:
    """Attach, make all calls, wait until the instance has no worker, and detach."""
    ratio = pool_pb2.RatioPolicy(ratio="auto", most=MOST, kinds=KINDS)
    policy = pool_pb2.InstancePolicy(slo_p99_us=round(SLO_S * 1e6), ratio=ratio)
    instance, neighbour = _attached(stack, "auto", policy), _attached(stack, NEIGHBOUR, None)
    with _session(instance) as session, _session(neighbour) as other, Neighbour(other) as busy:
        calls, begin = Calls(session), boot_clock() + 1.0
        calls.make(due_at(phases, seed), begin)
        _answered(calls)
        asleep_s = _asleep(stack, instance) - begin - sum(phase.seconds for phase in phases)
        workers = len(stack.instance(instance).workers)
    usage = ledger_pb2.UsageRequest(since_s=3600.0, by=["instance"])
    lines = stack.ask(verbs.LEDGER_USAGE, usage).lines
    _detach(stack, neighbour)
    _detach(stack, instance)
    time.sleep(_SETTLED_S)  # what was seen last is handed over
    return Loaded(
        instance=instance,
        begin=begin,
        calls=tuple(calls.sent),
        lost=dict(calls.lost + busy.lost),
        wrong=calls.wrong + busy.wrong,
        workers=workers,
        asleep_s=asleep_s,
        cost=sum(line.cost for line in lines if line.instance == instance),
    )


def _session(instance: str) -> eais.InferenceSession:
    return eais.InferenceSession(str(model_file()), provider_options=[{"instance": instance}])


def core_s(profiles: tuple[profiles_pb2.ModelProfile, ...]) -> float:
    """What one call takes a whole core, by the profile of the reference runtime."""
    points = [
        point
        for each in profiles
        if each.kind == "cpu" and each.runtime == "onnxruntime" and each.share_milli == 1000
        for point in each.points
    ]
    return min(point.p50_s / point.batch for point in points)


def _phases(profiles: tuple[profiles_pb2.ModelProfile, ...], phase_s: float) -> tuple[Phase, ...]:
    """Of what two eighths of a core serve first three eighths, then more than all, then a half."""
    eighth_per_s = 1 / (8 * core_s(profiles))
    base = 0.75 * eighth_per_s
    return (
        Phase("base", phase_s, base),
        Phase("tripled", phase_s, 3 * base),
        Phase("halved", phase_s, 1.5 * base),
    )


def _profiled(stack: Stack) -> tuple[profiles_pb2.ModelProfile, ...]:
    """Have the model measured on all devices."""
    instance = _attached(stack, "cpu.1", None)
    path = model_file()
    with eais.InferenceSession(str(path), provider_options=[{"instance": instance}]):
        pass
    _detach(stack, instance)
    data = path.read_bytes()
    file = listener_pb2.ModelFile(sha256=sha256(data).digest(), size=len(data))
    spec = listener_pb2.SessionSpec(files=[file])
    request = profiles_pb2.MeasureRequest(op_id=op(), spec=spec)

    def over() -> profiles_pb2.MeasureReply | None:
        reply: profiles_pb2.MeasureReply = stack.ask(verbs.PROFILES_MEASURE, request)
        return reply if reply.over else None

    return tuple(eventually(over, "the model is measured", _PROFILED_S).profiles)


def _attached(stack: Stack, type_: str, policy: pool_pb2.InstancePolicy | None) -> str:
    request = pool_pb2.AttachRequest(op_id=op(), type=type_, policy=policy)
    return str(stack.ask(verbs.POOL_ATTACH, request).instance.id)


def _detach(stack: Stack, instance: str) -> None:
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=instance))


def _answered(calls: Calls) -> None:
    """Wait for the last answers; what isn't heard of until then is lost."""
    end = time.monotonic() + _ANSWERED_S
    while calls.waiting and time.monotonic() < end:
        time.sleep(0.05)


def _asleep(stack: Stack, instance: str) -> float:
    """When it had no worker any more, or when that was waited for no longer."""
    end = time.monotonic() + _ASLEEP_S
    while time.monotonic() < end:
        shown = stack.instance(instance)
        if shown.ratio.asleep and not shown.workers:
            break
        time.sleep(0.25)
    return boot_clock()
