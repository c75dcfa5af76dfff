"""Targets that users write, and what they may do wrong."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eais.errors import ConfigError, UsageError
from eais_client.load.brain.plan import ModelLoad
from eais_client.load.target import Feeds, RequestFailed, TargetKind, TargetSpec
from eais_client.load.targets.opening import open_target
from eais_client.load.targets.plugin import CallTarget
from eais_client.load.testing.null import SIGNATURE
from eais_client.signature import Signature

HERE = __name__
MODEL = ModelLoad("m", "")


class Doubling(CallTarget):
    """Answers with its inputs, doubled."""

    def signature(self, model: str) -> Signature:
        return SIGNATURE

    def call(self, model: str, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        return [value * 2 for value in feeds.values()]


class Strange(Doubling):
    """Has no signature."""

    def signature(self, model: str) -> Signature:
        return "x"  # type: ignore[return-value]  # as a user may


class Broken(Doubling):
    """Has one that can't be had."""

    def signature(self, model: str) -> Signature:
        raise KeyError(model)


class Refusing(Doubling):
    """Says itself what is wrong."""

    def __init__(self, spec: TargetSpec) -> None:
        raise ConfigError("NOT_INSTALLED", "no such library")


def leaving(spec: TargetSpec) -> None:
    sys.exit("no way")


def making_nothing(spec: TargetSpec) -> None:
    return None


class Quitting(Doubling):
    """Its calls would end the program."""

    def call(self, model: str, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        raise SystemExit("enough")


no_function = 3


def spec(place: str) -> TargetSpec:
    return TargetSpec(TargetKind.PYTHON, "mine", place)


def test_a_class_of_ones_own_is_called_from_threads_and_tasks() -> None:
    target = open_target(spec(f"{HERE}:Doubling"))
    caller = target.open(MODEL, 1.0)
    feeds = {"x": np.ones(1, np.float32)}
    assert [each.tolist() for each in caller.call(feeds, 1.0)] == [[2.0]]
    assert [each.tolist() for each in asyncio.run(caller.call_async(feeds, 1.0))] == [[2.0]]
    assert caller.signature == SIGNATURE
    assert (caller.last_split(), target.server_times(MODEL)) == (None, None)
    assert target.about() == {}
    target.close()


def test_a_call_that_would_end_the_program_is_a_failed_request() -> None:
    caller = open_target(spec(f"{HERE}:Quitting")).open(MODEL, 1.0)
    with pytest.raises(RequestFailed, match="enough") as failed:
        caller.call({"x": np.ones(1, np.float32)}, 1.0)
    assert failed.value.reason == "SystemExit"


def test_it_is_found_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "load_mine.py").write_text(
        "from eais_client.load.testing.null import Null as Mine\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "load_mine", raising=False)
    assert open_target(spec("load_mine:Mine")).about() == {"null": "answers at once"}
    del sys.modules["load_mine"]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("module", "--python module: not as MODULE:NAME"),
        (":Name", "not as MODULE:NAME"),
        ("module:", "not as MODULE:NAME"),
        ("no_such_module:Mine", "ModuleNotFoundError: No module named 'no_such_module'"),
        (f"{HERE}:Nobody", "AttributeError: .*Nobody"),
        (f"{HERE}:no_function", "TypeError: 'int' object is not callable"),
        (f"{HERE}:CallTarget", "TypeError: Can't instantiate abstract class"),
        (f"{HERE}:leaving", "SystemExit: no way"),
        (f"{HERE}:making_nothing", r"what it makes has no open\(\)"),
    ],
)
def test_what_is_none_is_said_to_be_so(place: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as failed:
        open_target(spec(place))
    assert failed.value.reason == "ARGUMENT"


def test_what_it_says_itself_is_left_as_it_is() -> None:
    with pytest.raises(ConfigError, match="no such library"):
        open_target(spec(f"{HERE}:Refusing"))


@pytest.mark.parametrize(
    ("name", "said"), [("Strange", "gives a str"), ("Broken", "KeyError: 'm'")]
)
def test_a_signature_that_is_none_is_said_to_be_so(name: str, said: str) -> None:
    target = open_target(spec(f"{HERE}:{name}"))
    with pytest.raises(UsageError, match=rf"--python {HERE}:{name}: signature\('m'\).*{said}"):
        target.open(MODEL, 1.0)
