"""A scenario's file, read: what YAML made of it becomes a `Scenario`, or an error with its line.

(Brain)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

from eais.errors import ConfigError, UsageError
from eais_client.load.brain import scenario_words as words
from eais_client.load.brain.conditions import Condition
from eais_client.load.brain.plan import Driver, Driving, Spacing
from eais_client.load.brain.scenario import (
    CLEAN,
    PATIENCE_S,
    WARM_CALLS,
    Attach,
    Detach,
    Drain,
    Hold,
    Kill,
    Load,
    LoadOff,
    Push,
    Ramp,
    Resize,
    Scenario,
    Start,
    Step,
    Stop,
    Uncordon,
    Victim,
    Wait,
    Warm,
    order_fault,
)

T = TypeVar("T")
_TOP: Final = words.Settings(
    {
        "name": words.text,
        "model": words.text,
        "slo-p99": words.seconds,
        "arrivals": words.one_of([each.value for each in Spacing]),
        "burst": words.amount,
        "check": words.share,
        "seed": words.count,
        "timeout": words.seconds,
        "driver": words.one_of([each.value for each in Driver]),
        "processes": words.count,
        "max-in-flight": words.count,
        "fail-if": lambda value: _conditions(value),
        "steps": lambda value: value,
    },
    needed=("steps",),
)


def _conditions(value: object) -> tuple[Condition, ...]:
    """One, or a list of them."""
    given = value if isinstance(value, list) else [value]
    return tuple(Condition.parse(words.text(each)) for each in given)


_EXAMPLE: Final = "steps: [{attach: cpu.1}, push, {warm: 10}, {load: 20}, {hold: 10s}, detach]"


@dataclass(frozen=True, slots=True)
class Lines:
    """Where in the file things stand, from 1.

    Attributes:
        keys: of the settings of the whole, by name.
        steps: of each step.
    """

    keys: Mapping[str, int] = field(default_factory=dict)
    steps: Sequence[int] = ()


def read(data: object, file: str, name: str, lines: Lines) -> Scenario:
    """What a file says, of which YAML made `data`; `name` is used if it gives none.

    Raises:
        ConfigError: CONFIG, with file, line and step.
    """
    top = _Placed(file, lines).top(data)
    steps, places = _steps(top["steps"], file, lines)
    spacing = Spacing(top.get("arrivals", Spacing.POISSON.value))
    if "burst" in top and spacing is not Spacing.GAMMA:
        _refuse(_place(file, lines.keys.get("burst")), "burst is of arrivals: gamma")
    return Scenario(
        name=top.get("name", name),
        steps=steps,
        places=places,
        model=top.get("model", ""),
        slo_s=top.get("slo-p99"),
        spacing=spacing,
        burst=top.get("burst", 1.0),
        driving=_driving(top),
        conditions=top.get("fail-if", CLEAN),
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    file: str
    lines: Lines

    def top(self, data: object) -> dict[str, Any]:
        """The settings of the whole, each read at its place."""
        if not isinstance(data, dict):
            _refuse(self.file, "a scenario is settings and steps", hint=_EXAMPLE)
        made: dict[str, Any] = {}
        for name, value in data.items():
            place = _place(self.file, self.lines.keys.get(str(name)))
            made |= _at(place, partial(_only, _TOP, name, value))
        if "steps" not in made:
            _refuse(self.file, "steps is missing", hint=_EXAMPLE)
        return made


def _only(settings: words.Settings, name: object, value: object) -> dict[str, Any]:
    return words.Settings(settings.readers).read({name: value})


def _driving(top: Mapping[str, Any]) -> Driving:
    usual = Driving()
    return Driving(
        driver=Driver(top.get("driver", usual.driver.value)),
        processes=top.get("processes", usual.processes),
        max_in_flight=top.get("max-in-flight", usual.max_in_flight),
        timeout_s=top.get("timeout", usual.timeout_s),
        check_share=top.get("check", 1.0),
        seed=top.get("seed", usual.seed),
    )


def _steps(data: object, file: str, lines: Lines) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    if not isinstance(data, list) or not data:
        _refuse(_place(file, lines.keys.get("steps")), "steps is a list", hint=_EXAMPLE)
    made: list[Step] = []
    places: list[str] = []
    reader = _StepReader()
    for number, each in enumerate(data):
        line = lines.steps[number] if number < len(lines.steps) else None
        place = f"{_place(file, line)}: step {number + 1}"
        step, word = _at(place, partial(reader.read, each))
        made.append(step)
        places.append(f"{place} ({word})")
    if found := order_fault(made):
        _refuse(places[found[0]], found[1])
    return tuple(made), tuple(places)


class _StepReader:
    """Reads steps in their order: a ramp begins where the rate was."""

    def __init__(self) -> None:
        self._per_s = 0.0

    def read(self, data: object) -> tuple[Step, str]:
        """A step, and the word that it begins with."""
        word, value, given = _split(data)
        if word not in _READERS:
            raise UsageError("ARGUMENT", f"step {word!r} {words.unknown(word, _READERS)}")
        try:
            made = self._begun(_READERS[word](value, given))
        except UsageError as error:
            raise UsageError("ARGUMENT", f"({word}): {error.message}", hint=error.hint) from None
        return made, word

    def _begun(self, step: Step) -> Step:
        match step:
            case Ramp(from_per_s=-1.0):
                step = Ramp(self._per_s, step.to_per_s, step.seconds)
            case LoadOff() | Detach():
                self._per_s = 0.0
        if isinstance(step, Ramp):
            if not step.from_per_s and not step.to_per_s:
                raise UsageError("ARGUMENT", "from 0 to 0 is no load")
            self._per_s = step.to_per_s
        if isinstance(step, Load):
            self._per_s = step.per_s
        return step


def _split(data: object) -> tuple[str, object, bool]:
    """The step's word, what it is given, and whether it is given anything."""
    if isinstance(data, str):
        return data.strip(), None, False
    if isinstance(data, dict) and len(data) == 1:
        ((word, value),) = data.items()
        return str(word), value, value not in ("", None)
    if isinstance(data, dict):
        names = ", ".join(map(str, data))
        raise UsageError(
            "ARGUMENT",
            f"a step is one word and what it takes, not {len(data)}: {names}",
            hint="settings of a step stand in braces or further in: {ramp: {to: 40, for: 10s}}",
        )
    raise UsageError("ARGUMENT", f"a step is a word and what it takes, not {data!r}"[:120])


def _attach(value: object, given: bool) -> Step:
    said = words.ATTACH.read(value if isinstance(value, dict) else {"type": value})
    if ("type" in said or "ratio" in said) == ("instance" in said):
        raise UsageError("ARGUMENT", "either a type or an instance", hint="attach: cpu.1")
    wait_s = said.pop("wait", 0.0)
    if "instance" in said:
        if len(said) > 1:
            more = ", ".join(name for name in said if name != "instance")
            raise UsageError("ARGUMENT", f"{more}: of an instance that is made, not of one by name")
        return Attach(instance=said["instance"], wait_s=wait_s)
    vnic = said.pop("vnic", "")
    policy = words.policy(said)
    return Attach(type=said.get("type", "auto"), policy=policy, wait_s=wait_s, vnic=vnic)


def _warm(value: object, given: bool) -> Step:
    return Warm(words.count(value) if given else WARM_CALLS)


_LOAD: Final = words.Settings({"rate": words.rate, "for": words.seconds}, needed=("rate",))
_RAMP: Final = words.Settings(
    {"from": words.rate_or_nothing, "to": words.rate_or_nothing, "for": words.seconds},
    needed=("to", "for"),
)
_KILL: Final = words.Settings(
    {"what": words.one_of([each.value for each in Victim]), "within": words.seconds}
)
_DRAIN: Final = words.Settings({"host": words.text, "within": words.seconds})


def _load(value: object, given: bool) -> Step:
    if value == "off":
        return LoadOff()
    said = _LOAD.read(value if isinstance(value, dict) else {"rate": value})
    return Load(said["rate"], said.get("for", 0.0))


def _ramp(value: object, given: bool) -> Step:
    said = _RAMP.read(value)
    return Ramp(said.get("from", -1.0), said["to"], said["for"])


def _kill(value: object, given: bool) -> Step:
    plain = {"what": value} if given else {}
    said = _KILL.read(value if isinstance(value, dict) else plain)
    return Kill(Victim(said.get("what", "worker")), said.get("within", PATIENCE_S))


def _drain(value: object, given: bool) -> Step:
    plain = {"host": value} if given else {}
    said = _DRAIN.read(value if isinstance(value, dict) else plain)
    return Drain(said.get("host", ""), said.get("within", PATIENCE_S))


def _alone(step: Step) -> Callable[[object, bool], Step]:
    def read_it(value: object, given: bool) -> Step:
        if given:
            raise UsageError("ARGUMENT", f"it takes nothing, not {value!r}")
        return step

    return read_it


_READERS: Final[dict[str, Callable[[object, bool], Step]]] = {
    "attach": _attach,
    "push": _alone(Push()),
    "warm": _warm,
    "load": _load,
    "ramp": _ramp,
    "hold": lambda value, _: Hold(words.seconds(value)),
    "wait": lambda value, _: Wait(words.seconds(value)),
    "kill": _kill,
    "drain": _drain,
    "uncordon": lambda value, _: Uncordon(words.text(value)),
    "resize": lambda value, _: Resize(words.device_type(value)),
    "stop": _alone(Stop()),
    "start": _alone(Start()),
    "detach": _alone(Detach()),
}


def _place(file: str, line: int | None) -> str:
    return file if line is None else f"{file}:{line}"


def _at(place: str, read_it: Callable[[], T]) -> T:
    try:
        return read_it()
    except UsageError as error:
        between = " " if error.message.startswith("(") else ": "
        _refuse(place, error.message, hint=error.hint, between=between)


def _refuse(place: str, text: str, *, hint: str = "", between: str = ": ") -> NoReturn:
    raise ConfigError("CONFIG", f"{place}{between}{text}", hint=hint) from None
