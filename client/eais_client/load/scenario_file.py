"""A scenario's file, from the disk."""

from __future__ import annotations

from pathlib import Path

import yaml

from eais.errors import ConfigError, UsageError
from eais_client.load.brain.scenario import Scenario
from eais_client.load.brain.scenario_reading import Lines, read

MOST_BYTES = 1 << 20


def read_scenario(file: Path) -> Scenario:
    """What a file asks for.

    Raises:
        ConfigError: CONFIG, it can't be read, is no YAML, or asks for what can't be; with the line.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError("CONFIG", f"{file}: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise ConfigError("CONFIG", f"{file}: no scenario has {len(content)} bytes")
    try:
        # Text and nothing else: YAML 1.1 would take `off` for false, and the ratio 4:0 for 240.
        node = yaml.compose(content, Loader=yaml.BaseLoader)
        data = yaml.load(content, Loader=yaml.BaseLoader)  # noqa: S506 - makes no objects
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError("CONFIG", f"{file}{_said(error)}") from None
    _check_once(node, file)
    return read(data, str(file), file.stem, _lines(node))


def model_of(scenario: Scenario, file: Path, given: str) -> Path:
    """The model's file: the one that is `given`, else the scenario's, seen from its own folder.

    Raises:
        UsageError: ARGUMENT, neither names one; NOT_FOUND, there is no such file.
    """
    if not (given or scenario.model):
        hint = "name it: --model FILE, or `model: FILE` in the scenario"
        raise UsageError("ARGUMENT", f"{file} names no model", hint=hint)
    found = Path(given) if given else file.parent / Path(scenario.model).expanduser()
    if not found.is_file():
        raise UsageError("NOT_FOUND", f"{found}: there is no such file")
    return found


def _said(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f":{mark.line + 1}:{mark.column + 1}: {problem}" if mark else f": {problem}"


def _check_once(node: yaml.Node | None, file: Path) -> None:
    """Of two settings with one name YAML would keep the last."""
    names: set[str] = set()
    inside = node.value if isinstance(node, yaml.CollectionNode) else []
    for each in inside:
        key, value = each if isinstance(each, tuple) else (None, each)
        if key is not None and key.value in names:
            raise ConfigError("CONFIG", f"{file}:{key.start_mark.line + 1}: {key.value} again")
        names |= {key.value} if key is not None and isinstance(key.value, str) else set()
        _check_once(value, file)


def _lines(node: yaml.Node | None) -> Lines:
    if not isinstance(node, yaml.MappingNode):
        return Lines()
    keys: dict[str, int] = {}
    steps: list[int] = []
    for key, value in node.value:
        keys[str(key.value)] = key.start_mark.line + 1
        if key.value == "steps" and isinstance(value, yaml.SequenceNode):
            steps = [each.start_mark.line + 1 for each in value.value]
    return Lines(keys, steps)
