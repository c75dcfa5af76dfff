"""Runs one load on one target of known behaviour."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from hdrh.histogram import HdrHistogram

from eais_client.load.brain.plan import Closed, Driving, ModelLoad, Open, Phase, Spacing, Stretch
from eais_client.load.checking import Prepared, write_prepared
from eais_client.load.generator.processes import Generators
from eais_client.load.generator.usage import Meter
from eais_client.load.record import PhaseRecord
from eais_client.load.target import TargetKind, TargetSpec

NULL: Final = TargetSpec(TargetKind.PYTHON, "null", "eais_client.load.testing.null:Null")
_KNOWN: Final = "eais_client.load.testing.known:KnownTarget"
_MODEL: Final = ModelLoad("m", "")


def known(**settings: object) -> TargetSpec:
    """A target whose service times these settings give; see `Known`."""
    said = {name: str(value) for name, value in settings.items()}
    return TargetSpec(TargetKind.PYTHON, "known", _KNOWN, said)


def evenly(per_s: float, seconds: float) -> Phase:
    """So many requests a second, evenly spaced."""
    load = Open(Spacing.CONSTANT, (Stretch(seconds, per_s, per_s),))
    return Phase(f"{per_s:g}/s", load, seconds)


def callers(count: int, seconds: float) -> Phase:
    """So many callers of a closed loop."""
    return Phase(f"{count} callers", Closed(count), seconds)


def run(target: TargetSpec, driving: Driving, phase: Phase) -> PhaseRecord:
    """What came of it."""
    return run_metered(target, driving, phase)[0]


def run_metered(target: TargetSpec, driving: Driving, phase: Phase) -> tuple[PhaseRecord, float]:
    """What came of it, and the CPU seconds that it took: counting and telling, too."""
    x = np.zeros(1, np.float32)
    with (
        tempfile.TemporaryDirectory() as folder,
        Generators([target], [_MODEL], driving) as made,
    ):
        write_prepared(Path(folder) / "m", Prepared(({"x": x},), ((x,),), "exact"))
        made.prepare({"m": Path(folder) / "m"})
        meter = Meter()
        meter.cpu_and_memory(made.pids())
        record = made.run(0, phase)
        return record, meter.cpu_and_memory(made.pids())[0]


def latency(record: PhaseRecord) -> HdrHistogram:
    """Of its one model."""
    return record.models["m"].latency


def answered(record: PhaseRecord) -> int:
    """Of its one model."""
    return record.models["m"].answered


def quantile_ms(histogram: HdrHistogram, share: float) -> float:
    """In milliseconds."""
    return float(histogram.get_value_at_percentile(100 * share)) / 1000
