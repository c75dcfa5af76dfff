"""What people write of a load, read: rates, callers, times, shares, shapes. (Brain)"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eais.errors import UsageError
from eais_client.load.brain.arrivals import MOST_BURST
from eais_client.load.brain.plan import Closed, Open, Phase, Spacing, Stretch

_UNITS: Final = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_MAY_BE_0: Final = ("--warmup", "--trace-from")
_TIME: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(us|µs|ms|s|m|h)")
_SWEEP_MOST: Final = 100
_CALLERS_MOST: Final = 100_000
_LONGEST_S: Final = 30 * 86_400.0
_RATE_MOST: Final = 10_000_000.0
_REQUESTS_MOST: Final = 1_000_000_000.0
"""Due in one phase: their moments are held in memory, 8 bytes each."""
_LAST_MOMENT_S: Final = 0.001
_WEIGHT_MOST: Final = 1_000_000
_DIGITS: Final = 12
"""More make a number no larger than is refused anyway."""


def seconds_of(option: str, text: str) -> float:
    """Seconds of "50ms", "10s", "2m", "1h"; `UsageError` ARGUMENT for anything else, or nothing."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise UsageError("ARGUMENT", f"{option} {text}: not a time such as 50ms, 10s or 2m")
    seconds = float(found[1]) * _UNITS[found[2]]
    if seconds <= 0 and option not in _MAY_BE_0:
        raise UsageError("ARGUMENT", f"{option} {text}: must be more than nothing")
    if seconds > _LONGEST_S:
        raise UsageError("ARGUMENT", f"{option} {text}: at most 30 days, which are 720h")
    return seconds


def share_of(option: str, text: str) -> float:
    """0 to 1 of "5%" or "0.05"."""
    cut = text.strip()
    try:
        value = float(cut.removesuffix("%")) / (100 if cut.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise UsageError("ARGUMENT", f"{option} {text}: not a share such as 5% or 0.05")
    return value


def rate_stretches(text: str, seconds: float, warm_s: float) -> tuple[Stretch, ...]:
    """The rate over a phase: "20", "10..100" from one to the other, "10,20,40" in equal steps.

    The first rate is on while it warms up. `UsageError` ARGUMENT for what is no such rate.
    """
    low, ramp, high = text.partition("..")
    steps = [_rate(text, low), _rate(text, high)] if ramp else _rates(text)
    if not any(steps):
        raise UsageError("ARGUMENT", f"--rate {text}: nothing would be asked")
    if sum(steps) / len(steps) * seconds + steps[0] * warm_s > _REQUESTS_MOST:
        raise UsageError(
            "ARGUMENT", f"--rate {text}: more than {_REQUESTS_MOST:g} requests in {seconds:g} s"
        )
    warm = (Stretch(warm_s, steps[0], steps[0]),) if warm_s else ()
    if ramp:
        return (*warm, Stretch(seconds, steps[0], steps[1]))
    return (*warm, *(Stretch(seconds / len(steps), each, each) for each in steps))


def callers_of(text: str) -> tuple[int, ...]:
    """Of "8"; "1,2,4", one after the other; "1:8:2", from 1 to 8 by 2; "1:8" by 1."""
    fault = UsageError(
        "ARGUMENT", f"--concurrency {text}: not a number of callers such as 8, 1,2,4 or 1:8:2"
    )
    parts = text.split(":") if ":" in text else text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise fault
    numbers: Sequence[int] = [int(part[:_DIGITS]) for part in parts]
    if ":" in text:
        if len(numbers) not in (2, 3) or numbers[0] > numbers[1] or numbers[2:] == [0]:
            raise fault
        step = numbers[2] if len(numbers) == 3 else 1
        numbers = range(numbers[0], numbers[1] + 1, step)
    if len(numbers) > _SWEEP_MOST:
        raise UsageError(
            "ARGUMENT", f"--concurrency {text}: {len(numbers)} phases; at most {_SWEEP_MOST}"
        )
    if min(numbers) < 1:
        raise fault
    if max(numbers) > _CALLERS_MOST:
        raise UsageError("ARGUMENT", f"--concurrency {text}: at most {_CALLERS_MOST} callers")
    return tuple(numbers)


def weights_of(text: str, models: int) -> tuple[int, ...]:
    """The models' of "3:1"; 1 for each where nothing is said."""
    if not text:
        return (1,) * models
    parts = text.split(":")
    if not all(part.isdecimal() and 0 < int(part[:_DIGITS]) <= _WEIGHT_MOST for part in parts):
        text = f"--mix {text}: not whole numbers from 1 to {_WEIGHT_MOST} such as 3:1"
        raise UsageError("ARGUMENT", text)
    if len(parts) != models:
        raise UsageError("ARGUMENT", f"--mix {text}: {len(parts)} weights for {models} models")
    return tuple(map(int, parts))


def shape_of(text: str) -> tuple[str, tuple[int, ...]]:
    """Input and shape of "x=1,3,224,224"; perf_analyzer's "x:1,3,224,224" too."""
    name, _, sizes = text.rpartition("=" if "=" in text else ":")
    parts = [part.strip() for part in sizes.split(",")]
    if not name or not all(part.isdecimal() and len(part) <= _DIGITS for part in parts):
        raise UsageError("ARGUMENT", f"--shape {text}: not as x=1,3,224,224")
    return name, tuple(map(int, parts))


def range_of(text: str) -> tuple[str, tuple[float, float]]:
    """Input and bounds of "x=0..255"."""
    name, _, bounds = text.rpartition("=")
    low, _, high = bounds.partition("..")
    try:
        found = float(low), float(high)
    except ValueError:
        found = math.nan, math.nan
    if not name or not found[0] <= found[1] or not all(map(math.isfinite, found)):
        raise UsageError("ARGUMENT", f"--range {text}: not as x=0..255")
    return name, found


@dataclass(frozen=True, slots=True)
class LoadAsked:
    """What was said of the load; "" and None where nothing was.

    Attributes are the options of `eais loadtest` of the same names; `trace` is what a file gave.
    """

    concurrency: str = ""
    arrivals: str = ""
    rate: str = ""
    burst: float | None = None
    trace: Open | None = None
    duration: str = ""
    warmup: str = ""


def phases_of(asked: LoadAsked) -> tuple[Phase, ...]:
    """The phases that were asked for; one caller in a closed loop if nothing was.

    Raises `UsageError` ARGUMENT for what is no load, or is two.
    """
    seconds = seconds_of("--duration", asked.duration or "10s")
    warm_s = seconds_of("--warmup", asked.warmup or "1s") if asked.warmup != "0" else 0.0
    _check_one(asked)
    if asked.trace is not None:
        return (_of_trace(asked.trace, seconds if asked.duration else None),)
    if asked.rate or asked.arrivals:
        return (_open(asked, seconds, warm_s),)
    return tuple(
        Phase(f"{callers} caller{'s' * (callers > 1)}", Closed(callers), seconds, warm_s)
        for callers in callers_of(asked.concurrency or "1")
    )


def _check_one(asked: LoadAsked) -> None:
    if asked.concurrency and (asked.rate or asked.arrivals or asked.trace):
        text = "--concurrency is a closed loop, --rate, --arrivals and --trace an open one: say one"
        raise UsageError("ARGUMENT", text)
    if asked.trace is not None and asked.rate:
        raise UsageError("ARGUMENT", "--trace has its own rate, which --trace-scale changes")
    if asked.arrivals and not asked.rate and asked.trace is None:
        raise UsageError(
            "ARGUMENT", f"--arrivals {asked.arrivals}: say how many, such as --rate 20"
        )
    if asked.burst is not None and asked.arrivals != Spacing.GAMMA:
        raise UsageError("ARGUMENT", "--burst says how gamma's gaps vary: --arrivals gamma")
    burst_of(asked.burst)
    if asked.trace is not None and asked.trace.moments and asked.arrivals:
        text = f"--arrivals {asked.arrivals}: the trace says when each request is due"
        raise UsageError("ARGUMENT", text, hint="--arrivals is of traces of counts")
    if asked.trace is not None and asked.warmup not in ("", "0"):
        text = f"--warmup {asked.warmup}: a trace is measured from its begin on"
        raise UsageError("ARGUMENT", text, hint="--trace-from says where in the file that is")


def spacing_of(text: str) -> Spacing:
    """Of "constant", "poisson" or "gamma"; POISSON of ""."""
    try:
        return Spacing(text or Spacing.POISSON)
    except ValueError:
        kinds = ", ".join(Spacing)
        raise UsageError("ARGUMENT", f"--arrivals {text}: there are {kinds}") from None


def burst_of(value: float | None) -> float:
    """The burst that `--burst` says; 1, as Poisson's is, of None."""
    if value is None:
        return 1.0
    if not 0 < value <= MOST_BURST:
        text = f"--burst {value:g}: must be more than 0, and at most {MOST_BURST:g}"
        raise UsageError("ARGUMENT", text, hint="1 is --arrivals poisson, 0 --arrivals constant")
    return value


def _open(asked: LoadAsked, seconds: float, warm_s: float) -> Phase:
    spacing = spacing_of(asked.arrivals)
    burst = burst_of(asked.burst)
    stretches = rate_stretches(asked.rate, seconds, warm_s)
    return Phase(f"{asked.rate}/s {spacing}", Open(spacing, stretches, burst), seconds, warm_s)


def _of_trace(load: Open, seconds: float | None) -> Phase:
    whole = load.moments[-1] if load.moments else sum(each.seconds for each in load.stretches)
    # The last moment's request is of the phase, too.
    whole = whole if seconds is None else min(seconds, whole)
    return Phase("trace", load, whole + _LAST_MOMENT_S if load.moments else whole)


def _rate(text: str, part: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UsageError("ARGUMENT", f"--rate {text}: not as 20, 10..100 or 10,20,40")
    if value > _RATE_MOST:
        raise UsageError("ARGUMENT", f"--rate {text}: at most {_RATE_MOST:g}/s")
    return value


def _rates(text: str) -> Sequence[float]:
    return [_rate(text, part) for part in text.split(",")]
