"""The document of a load test: what `-o json` prints, and what compare and report read."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from eais.errors import UsageError
from eais_client.load.brain.run_figures import RunFigures

VERSION: Final = 1
"""Of the document; another one is refused, not guessed at."""
_CPUINFO: Final = Path("/proc/cpuinfo")
_TOO_LARGE: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class LoadTestResult:
    """All that a load test found.

    Attributes:
        eais: the version of the program that made it.
        when: its begin, ISO 8601.
        command: as it was typed.
        runs: each phase on each target, in order.
        machine: `machine_data` of where the load was made.
        settings: driver, processes, timeout_s, max_in_flight, check_share, seed, slo_ms, ...
        models: name, sha256, bytes, weight, inputs: [{name, type, shape}].
        targets: name, kind, place, about.
        ratios: of paired targets: target, against, figure, ratio, low, high, rounds.
        capacity: per_s, low, high, confidence, bound, said, slo_ms, share and
            trials: [{rate_per_s, due, late, seconds, kept}]; None if none was sought.
        steps: of a scenario: step, began_s, seconds, said, requests, lost, wrong, late, p99_ms,
            max_ms.
        missed: what wasn't as `--fail-if` wants it, in words.
        interrupted: whether the test was ended before its time.
    """

    eais: str
    when: str
    command: str
    runs: Sequence[RunFigures]
    machine: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    models: Sequence[Mapping[str, Any]] = ()
    targets: Sequence[Mapping[str, Any]] = ()
    ratios: Sequence[Mapping[str, Any]] = ()
    capacity: Mapping[str, Any] | None = None
    steps: Sequence[Mapping[str, Any]] = ()
    missed: Sequence[str] = ()
    interrupted: bool = False

    def data(self) -> dict[str, Any]:
        """The document. The figures of a single run stand at its top level, too."""
        alone = self.runs[0].all.data() if len(self.runs) == 1 else {}
        return {
            "loadtest": VERSION,
            "eais": self.eais,
            "when": self.when,
            "command": self.command,
            "machine": dict(self.machine),
            "settings": dict(self.settings),
            "models": [dict(each) for each in self.models],
            "targets": [dict(each) for each in self.targets],
            **alone,
            "runs": [run.data() for run in self.runs],
            "ratios": [dict(each) for each in self.ratios],
            "capacity": None if self.capacity is None else dict(self.capacity),
            "steps": [dict(each) for each in self.steps],
            "missed": list(self.missed),
            "interrupted": self.interrupted,
        }

    @classmethod
    def of_data(cls, data: object, name: str = "this") -> Self:
        """What `data` made.

        Args:
            data: parsed JSON.
            name: of where it is from, for errors.

        Raises:
            UsageError: ARGUMENT; it is no result of a load test, one of another version, or
                something in it is missing or of no use.
        """
        if not isinstance(data, Mapping) or "loadtest" not in data:
            raise _unfit(f"{name} is no result of a load test", "eais loadtest … -o json makes one")
        if data["loadtest"] != VERSION:
            text = f"{name} is a result of version {data['loadtest']!r}, and not {VERSION}"
            raise _unfit(text, "read it with the EAIS that made it, or test again")
        for key, kind in _KINDS.items():
            if not isinstance(data.get(key), kind):
                raise _unfit(f"{name} has no {key} that is of use", _WHOLE)
        for key in _OF_OBJECTS:
            if not all(isinstance(each, Mapping) for each in data[key]):
                raise _unfit(f"in {name} an entry of {key} is no object", _WHOLE)
        own = {key: data[key] for key in _KINDS if key != "runs"}
        return cls(**own, capacity=_capacity(data, name), runs=_runs(data["runs"], name))


_WHOLE: Final = "take the file as eais loadtest made it"
_OF_OBJECTS: Final = ("models", "targets", "runs", "ratios", "steps")
_KINDS: Final[Mapping[str, type]] = {
    "eais": str,
    "when": str,
    "command": str,
    "machine": Mapping,
    "settings": Mapping,
    "models": list,
    "targets": list,
    "runs": list,
    "ratios": list,
    "steps": list,
    "missed": list,
    "interrupted": bool,
}


def _runs(runs: Sequence[Mapping[str, Any]], name: str) -> list[RunFigures]:
    made = []
    for number, each in enumerate(runs, 1):
        try:
            made.append(RunFigures.of_data(each))
        except ValueError as error:
            raise _unfit(f"in {name}, run {number}: {error}", _WHOLE) from None
    return made


def _capacity(data: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    found = data.get("capacity")
    if found is not None and not isinstance(found, Mapping):
        raise _unfit(f"{name} has no capacity that is of use", _WHOLE)
    return found


def _unfit(text: str, hint: str) -> UsageError:
    return UsageError("ARGUMENT", text, hint=hint)


def read_result(path: Path) -> LoadTestResult:
    """The result in a file, which may hold other lines before it, as `-o json` has it last.

    Raises a `UsageError` (ARGUMENT) that says why there is none.
    """
    try:
        if path.stat().st_size > _TOO_LARGE:
            raise _unfit(f"{path} is larger than any result", _WHOLE)
        text = path.read_text("utf-8")
    except OSError as error:
        raise _unfit(f"{path}: {error.strerror}", "name a result, made by -o json") from None
    except UnicodeDecodeError:
        raise _unfit(f"{path} is no text", "name a result, made by -o json") from None
    return LoadTestResult.of_data(_parsed(text), str(path))


def _parsed(text: str) -> object:
    for candidate in (text, text.strip().rpartition("\n")[2]):
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):
            continue
    return None


def machine_data(cpuinfo: Path = _CPUINFO) -> dict[str, Any]:
    """This machine: cores that this process may use, cpu, kernel, python."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(cpuinfo),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _cpu(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.machine()
