"""Whether two load tests asked the same, so that their figures may be compared. (Brain)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

Document: TypeAlias = Mapping[str, Any]
Key: TypeAlias = tuple[str, str]
"""A target's name in the first document, and a phase's."""
Rounds: TypeAlias = Sequence[Mapping[str, Any]]

_ASKED: Final = ("timeout_s", "max_in_flight", "slo_ms")
_MAKING: Final = ("driver", "processes", "check_share")
_MACHINE: Final = ("cores", "cpu", "kernel", "python")


def asked_otherwise(a: Document, b: Document) -> list[str]:
    """What differs in what was asked, in words: models, inputs, phases, rates, settings.

    How long was measured is no such difference, and neither is a seed.
    """
    return [*_models(a, b), *_phases(a, b), *_settings(a, b, _ASKED)]


def circumstances(a: Document, b: Document) -> list[str]:
    """What else differs, in words, which may be why figures do: machine, version, targets."""
    said = [*_targets(a, b), *_settings(a, b, _MAKING)]
    if a.get("eais") != b.get("eais"):
        said.append(f"EAIS {a.get('eais')} and {b.get('eais')}")
    here, there = a.get("machine", {}), b.get("machine", {})
    said += [
        f"machine: {name} {here.get(name)} and {there.get(name)}"
        for name in _MACHINE
        if here.get(name) != there.get(name)
    ]
    for which, document in (("first", a), ("second", b)):
        said += _doubts(which, document)
    return said


def paired(a: Document, b: Document) -> dict[Key, tuple[Rounds, Rounds]]:
    """The runs of both for each target and phase, all rounds.

    Targets of other names, as instances made for a test have, are paired in their order; so are
    phases, if the two have none in common.
    """
    here, there = _both(a, b)
    return {key: (rounds, there[key]) for key, rounds in here.items() if key in there}


def _both(a: Document, b: Document) -> tuple[dict[Key, Rounds], dict[Key, Rounds]]:
    """All rounds of each, under the first one's names."""
    here, there = _rounds(a), _rounds(b)
    names = _renamed([target for target, _ in there], [target for target, _ in here])
    phases = _renamed([phase for _, phase in there], [phase for _, phase in here])
    return here, {(names[on], phases[phase]): rounds for (on, phase), rounds in there.items()}


def _rounds(document: Document) -> dict[Key, Rounds]:
    found: dict[Key, list[Mapping[str, Any]]] = {}
    for run in document["runs"]:
        found.setdefault((run["target"], run["phase"]), []).append(run)
    return dict(found)


def _renamed(theirs: Sequence[str], own: Sequence[str]) -> dict[str, str]:
    theirs, own = list(dict.fromkeys(theirs)), list(dict.fromkeys(own))
    if set(theirs) & set(own) or len(theirs) != len(own):
        return {name: name for name in theirs}
    return dict(zip(theirs, own, strict=True))


def _models(a: Document, b: Document) -> Iterator[str]:
    here = {each["name"]: each for each in a.get("models", ())}
    there = {each["name"]: each for each in b.get("models", ())}
    if len(here) == len(there) == 1:  # a file's name means little
        there = dict(zip(here, there.values(), strict=True))
    for name in here.keys() ^ there.keys():
        yield f"only the {'first' if name in here else 'second'} calls {name}"
    for name in here.keys() & there.keys():
        own, other = here[name], there[name]
        if own.get("sha256") != other.get("sha256"):
            digests = [str(each.get("sha256") or "unknown")[:12] for each in (own, other)]
            yield f"{name} is another model: sha256 {digests[0]}… and {digests[1]}…"
        if len(here) > 1 and own.get("weight") != other.get("weight"):
            yield f"{name} has weight {own.get('weight')} and {other.get('weight')}"
        if own.get("inputs") != other.get("inputs"):
            yield f"{name} gets {_inputs(own)} and {_inputs(other)}"


def _inputs(model: Mapping[str, Any]) -> str:
    shapes = (
        f"{each.get('name')}:{'x'.join(map(str, each.get('shape') or ()))}"
        for each in model.get("inputs") or ()
    )
    return " ".join(shapes) or "unknown inputs"


def _phases(a: Document, b: Document) -> Iterator[str]:
    here, there = _both(a, b)
    for which, rounds, others in (("first", here, there), ("second", there, here)):
        if left := [f"{phase} on {on}" for on, phase in rounds if (on, phase) not in others]:
            yield f"only the {which} has {', '.join(left)}"
    for (target, phase), (own, other) in paired(a, b).items():
        loads = [_load(each[0].get("load", {})) for each in (own, other)]
        for name in sorted(loads[0].keys() | loads[1].keys()):
            if loads[0].get(name) != loads[1].get(name):
                values = " and ".join(_shown(each.get(name)) for each in loads)
                yield f"{phase} on {target}: {name} {values}"


def _load(load: Mapping[str, Any]) -> dict[str, Any]:
    """A load but for how long it is on."""
    asked = {name: value for name, value in load.items() if name not in ("seconds", "warm_s")}
    stretches = asked.get("stretches")
    if isinstance(stretches, Sequence) and len(stretches) == 1:
        asked["stretches"] = [{k: v for k, v in stretches[0].items() if k != "seconds"}]
    return asked


def _shown(value: object) -> str:
    return "none" if value is None else str(value) if len(str(value)) < 200 else "another list"


def _settings(a: Document, b: Document, names: Sequence[str]) -> list[str]:
    here, there = a.get("settings", {}), b.get("settings", {})
    return [
        f"{name} {_shown(here.get(name))} and {_shown(there.get(name))}"
        for name in names
        if here.get(name) != there.get(name)
    ]


def _targets(a: Document, b: Document) -> Iterator[str]:
    for own, other in zip(a.get("targets", ()), b.get("targets", ()), strict=False):
        if own.get("name") != other.get("name"):
            yield f"targets {own.get('name')} and {other.get('name')}"
        about = own.get("about") or {}, other.get("about") or {}
        for name in sorted(about[0].keys() & about[1].keys()):
            if about[0][name] != about[1][name]:
                yield f"{own.get('name')}: {name} {about[0][name]} and {about[1][name]}"


def _doubts(which: str, document: Document) -> Iterator[str]:
    for run in document["runs"]:
        name = f"{run['phase']} on {run['target']}"
        if not run.get("schedule", {}).get("kept", True):
            yield f"the {which}'s generator didn't keep its schedule in {name}"
        if run.get("interrupted"):
            yield f"the {which}'s run {name} was interrupted"
