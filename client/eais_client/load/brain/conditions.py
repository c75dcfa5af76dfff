"""When a load test has failed: `p99 > 50ms` and the like, held against a run's figures. (Brain)

A condition names a figure, compares it, and names a bound with its unit. It describes the failure,
not the wish. A figure is found by its name in the result document, without the unit (`p99` is
`p99_ms`), or by its path there (`split.queue.p99_ms`, `schedule.kept`).

A percentile that isn't there because too many requests had no right answer is beyond every bound.
A figure that isn't known at all, such as the CPU of a server on another machine, fails the test
too: whoever asked for a check is told that it wasn't made.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from math import inf
from typing import Any, Final

from eais.errors import EaisError, make_error


class Kind(StrEnum):
    """What a figure is measured in."""

    TIME = "a time"
    RATE = "a rate"
    SHARE = "a share"
    COUNT = "a number"
    MEMORY = "memory"
    TRUTH = "yes or no"


_UNITS: Final[Mapping[Kind, Mapping[str, float]]] = {
    Kind.TIME: {"us": 0.001, "µs": 0.001, "ms": 1.0, "s": 1000.0},
    Kind.RATE: {"": 1.0, "/s": 1.0},
    Kind.SHARE: {"": 1.0, "%": 0.01},
    Kind.COUNT: {"": 1.0},
    Kind.MEMORY: {"": 1.0, "MB": 1.0, "GB": 1000.0},
    Kind.TRUTH: {},
}
_TRUTHS: Final = {"true": True, "yes": True, "false": False, "no": False}
_OPS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_PERCENTILES: Final = ("p50", "p90", "p95", "p99", "p99.9", "p99.99")
_PARTS: Final = ("wait", "encode", "line", "wire", "queue", "batch", "compute", "decode")


def _figures() -> dict[str, tuple[str, Kind]]:
    """Name in a condition -> path in the document, and kind."""
    times = {name: f"{name.replace('.', '_')}_ms" for name in ("mean", "min", "max", *_PERCENTILES)}
    times |= {name: f"{name}_ms" for name in ("answered_p99", "service_p50", "service_p99")}
    times |= {f"lag_{name}": f"schedule.lag_{name}_ms" for name in ("p50", "p99", "max")}
    times["blocked_p99"] = "schedule.blocked_p99_ms"
    for part in _PARTS:
        times |= {f"{part}_{each}": f"split.{part}.{each}_ms" for each in ("mean", "p50", "p99")}
    counts = ("requests", "answered", "errors", "wrong", "checked", "unanswered", "batch_size")
    found = {name: (path, Kind.TIME) for name, path in times.items()}
    found |= {name: (name, Kind.COUNT) for name in counts}
    found |= {
        f"{name}_per_s": (f"{name}_per_s", Kind.RATE) for name in ("asked", "done", "goodput")
    }
    found |= {name: (name, Kind.SHARE) for name in ("error_rate", "wrong_rate", "unanswered_rate")}
    for side in ("client", "server"):
        found[f"{side}_cores"] = (f"{side}.cores", Kind.COUNT)
        found[f"{side}_rss"] = (f"{side}.rss_mb", Kind.MEMORY)
    found["schedule_kept"] = ("schedule.kept", Kind.TRUTH)
    return found


FIGURES: Final = _figures()
"""Name in a condition -> path in a run of the result document, and kind."""

_BY_PATH: Final = {path: name for name, (path, _) in FIGURES.items()}
_OTHER_NAMES: Final = {
    "avg": "mean",
    "average": "mean",
    "median": "p50",
    "latency": "p99",
    "throughput": "done_per_s",
    "rps": "done_per_s",
    "qps": "done_per_s",
    "infer/sec": "done_per_s",
    "goodput": "goodput_per_s",
    "failed": "errors",
    "failures": "errors",
    "http_req_failed": "error_rate",
    "http_req_duration": "p99",
    "cpu": "server_cores",
    "memory": "server_rss",
}
_SHARES: Final = {
    "error_rate": ("errors", "requests"),
    "wrong_rate": ("wrong", "checked"),
    "unanswered_rate": ("unanswered", "requests"),
}
_FORM: Final = re.compile(r"\s*([^<>=!]+?)\s*(>=|<=|==|!=|>|<)\s*([^<>=!]+?)\s*")
_VALUE: Final = re.compile(r"([-+]?\d+(?:\.\d*)?|[-+]?\.\d+)\s*([a-zA-Zµ%/]*)")
_EXAMPLE: Final = "such as 'p99 > 50ms', 'error_rate > 0.1%' or 'done_per_s < 400'"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition.

    Attributes:
        text: as it was given.
        figure: a name of `FIGURES`.
        compare: one of > >= < <= == !=.
        bound: in the figure's own unit: ms, requests a second, 0 to 1, 10^6 bytes.
        said: the bound as it was given, for people.
    """

    text: str
    figure: str
    compare: str
    bound: float | bool
    said: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """From `FIGURE OP VALUE[UNIT]`.

        Raises a `UsageError` that names the part that is wrong, and what it might have been.
        """
        parts = _FORM.fullmatch(text)
        if parts is None:
            wrong = f"{text!r} is no condition: it is FIGURE OP VALUE, {_EXAMPLE}"
            raise make_error("ARGUMENT", wrong, hint="OP is one of > >= < <= == !=")
        name, compare, value = parts.groups()
        figure = _named(name, text)
        kind = FIGURES[figure][1]
        if name.endswith("_ms") and re.fullmatch(r"[\d.]+", value):
            value += "ms"
        bound = _truth(value, text) if kind is Kind.TRUTH else _number(value, kind, figure, text)
        if kind is Kind.TRUTH and compare not in ("==", "!="):
            wrong = f"{text!r}: {figure} is yes or no, so it is compared by == or !="
            raise make_error("ARGUMENT", wrong)
        return cls(text, figure, compare, bound, re.sub(r"([\d.])\s*([a-zA-Zµ])", r"\1 \2", value))

    def missed(self, figures: Mapping[str, Any]) -> str:
        """What a run's figures are, if they meet the condition: the test has failed; else "".

        As in "p99 = 61.2 ms, which is > 50 ms".
        """
        path, kind = FIGURES[self.figure]
        value, why = self._value(figures)
        if value is None and kind is Kind.TIME and "." not in path and _had_failures(figures):
            beyond = _OPS[self.compare](inf, self.bound)
            said = "failed: too few requests had a right answer"
            return f"{self.figure} = {said}, which is {self.compare} {self.said}" if beyond else ""
        if value is None:
            return f"{self.figure} isn't known ({why or f'no {path} in the result'}): {self.text!r}"
        if not _OPS[self.compare](value, self.bound):
            return ""
        return f"{self.figure} = {shown(value, kind)}, which is {self.compare} {self.said}"

    def _value(self, figures: Mapping[str, Any]) -> tuple[float | bool | None, str]:
        if self.figure in _SHARES:
            part, whole = (figures.get(name) for name in _SHARES[self.figure])
            if part is None or whole is None:
                return None, ""
            return (part / whole, "") if whole else (None, f"{_SHARES[self.figure][1]} is 0")
        at: Any = figures
        for key in FIGURES[self.figure][0].split("."):
            if not isinstance(at, Mapping):
                return None, ""
            if key not in at:
                return None, str(at.get("why_not", ""))
            at = at[key]
        return at, ""


def missed(conditions: Iterable[Condition], runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Which runs of a result document meet which conditions, in words; each is named if several."""
    several = list(runs)
    rounds = len({run.get("round", 1) for run in several}) > 1
    return [
        f"{_name(run, rounds)}: {said}" if len(several) > 1 else said
        for condition in conditions
        for run in several
        if (said := condition.missed(run))
    ]


def shown(value: float | bool, kind: Kind) -> str:
    """A figure for people, with its unit."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if kind is Kind.SHARE:
        return f"{100 * value:.3g} %"
    unit = {Kind.TIME: " ms", Kind.RATE: "/s", Kind.MEMORY: " MB"}.get(kind, "")
    return f"{value:.0f}{unit}" if abs(value) >= 1000 else f"{value:.3g}{unit}"


def _name(run: Mapping[str, Any], rounds: bool) -> str:
    words = [str(run.get("target", "")), str(run.get("phase", ""))]
    if rounds:
        words.append(f"round {run.get('round')}")
    return ", ".join(word for word in words if word)


def _had_failures(figures: Mapping[str, Any]) -> bool:
    """Whether times are missing because of what became of requests; not as they weren't taken."""
    return any(figures.get(name) for name in ("errors", "wrong", "unanswered"))


def _named(name: str, text: str) -> str:
    plain = re.sub(r"^p\(?(\d+(?:[._]\d+)?)\)?", lambda found: f"p{found[1]}", name.strip())
    plain = re.sub(r"^(p\d+)_(\d)", r"\1.\2", plain)
    for known in (plain, plain.removesuffix("_ms"), _BY_PATH.get(plain, "")):
        if known in FIGURES:
            return known
    raise _unknown(name, plain, text)


def _unknown(name: str, plain: str, text: str) -> EaisError:
    wrong = f"{text!r}: {name!r} is no figure of a load test"
    if plain.lower() in _OTHER_NAMES:
        hint = f"it is {_OTHER_NAMES[plain.lower()]} here"
    elif re.fullmatch(r"p[\d.]+", plain):
        hint = f"percentiles are {', '.join(_PERCENTILES)}"
    elif near := get_close_matches(plain.lower(), (*FIGURES, *_OTHER_NAMES), 3, 0.6):
        meant = dict.fromkeys(_OTHER_NAMES.get(each, each) for each in near)
        hint = f"did you mean {' or '.join(meant)}?"
    else:
        hint = f"figures are {', '.join(FIGURES)}"
    return make_error("ARGUMENT", wrong, hint=hint)


def _number(value: str, kind: Kind, figure: str, text: str) -> float:
    parts = _VALUE.fullmatch(value)
    if parts is None:
        raise make_error("ARGUMENT", f"{text!r}: {value!r} is no number with a unit, {_EXAMPLE}")
    units = _UNITS[kind]
    if parts[2] in units:
        return round(float(parts[1]) * units[parts[2]], 9)
    choice = " or ".join(unit for unit in units if unit)
    hint = f"say {parts[1]} with {choice}" if choice else f"say {parts[1]} alone"
    what = f"{parts[2]!r} is no unit for it" if parts[2] else "its unit is missing"
    raise make_error("ARGUMENT", f"{text!r}: {figure} is {kind}, and {what}", hint=hint)


def _truth(value: str, text: str) -> bool:
    if value.lower() not in _TRUTHS:
        raise make_error("ARGUMENT", f"{text!r}: {value!r} is neither yes nor no")
    return _TRUTHS[value.lower()]
