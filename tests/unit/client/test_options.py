"""Session and run options beside onnxruntime's own: fields, defaults, refusals."""

from __future__ import annotations

from typing import Any

import onnxruntime as ort
import pytest

import eais
from eais.errors import EaisError
from eais_client.session_options import (
    KNOWN_SESSION_KEYS,
    run_options_of,
    session_options_of,
)

OURS_ONLY = {"config_entries", "free_dimension_overrides", "ending"}


def public(made: Any) -> set[str]:
    return {name for name in dir(made) if not name.startswith("_")}


@pytest.mark.parametrize("name", ["GraphOptimizationLevel", "ExecutionMode"])
def test_enums_are_onnxruntimes(name: str) -> None:
    ours, theirs = getattr(eais, name), getattr(ort, name)
    assert {m.name: int(m) for m in ours} == {k: int(v) for k, v in theirs.__members__.items()}


def plain(made: Any) -> dict[str, Any]:
    """The fields that hold values, enums as their numbers."""
    values = {name: getattr(made, name) for name in public(made) - OURS_ONLY}
    values = {name: value for name, value in values.items() if not callable(value)}
    return {name: v if isinstance(v, str) else int(v) for name, v in values.items()}


@pytest.mark.parametrize("name", ["SessionOptions", "RunOptions"])
def test_plain_fields_have_onnxruntimes_defaults(name: str) -> None:
    ours, theirs = plain(getattr(eais, name)()), plain(getattr(ort, name)())
    assert ours == theirs


def test_wrong_values_raise_type_error_as_onnxruntime_does() -> None:
    for options in (eais.SessionOptions(), ort.SessionOptions()):
        for field, value in [("graph_optimization_level", 1), ("execution_mode", 1)]:
            with pytest.raises(TypeError):
                setattr(options, field, value)
        with pytest.raises(TypeError):
            options.add_session_config_entry("a", 5)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            options.add_free_dimension_override_by_name("a", "x")  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["", "x" * 1025])
def test_config_entries_speak_as_onnxruntimes(key: str) -> None:
    for ours, theirs, what in [
        (eais.SessionOptions(), ort.SessionOptions(), "session"),
        (eais.RunOptions(), ort.RunOptions(), "run"),
    ]:
        texts = []
        for options in (ours, theirs):
            add = getattr(options, f"add_{what}_config_entry")
            get = getattr(options, f"get_{what}_config_entry")
            with pytest.raises(RuntimeError) as refused:
                add(key, "1")
            with pytest.raises(RuntimeError) as missing:
                get("nope")
            add("a", "1")
            assert get("a") == "1"
            texts.append((str(refused.value), str(missing.value)))
        assert texts[0] == texts[1]


def test_what_cannot_travel_is_refused_clearly() -> None:
    options = eais.SessionOptions()
    refusals: list[tuple[Any, str]] = [
        (lambda: options.add_initializer("w", None), "UNIMPLEMENTED"),
        (lambda: options.add_external_initializers([], []), "UNIMPLEMENTED"),
        (lambda: setattr(options, "enable_profiling", True), "UNIMPLEMENTED"),
        (lambda: options.register_custom_ops_library("/x.so"), "OP_REFUSED"),
    ]
    for refuse, reason in refusals:
        with pytest.raises(EaisError) as caught:
            refuse()
        assert caught.value.reason == reason
    options.enable_profiling = False


def test_every_field_of_onnxruntimes_options_is_read() -> None:
    theirs = ort.SessionOptions()
    theirs.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    theirs.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    theirs.enable_cpu_mem_arena = theirs.enable_mem_pattern = False
    theirs.use_deterministic_compute = True
    theirs.intra_op_num_threads, theirs.logid = 3, "me"
    for key in KNOWN_SESSION_KEYS:
        theirs.add_session_config_entry(key, "1")
    ours = session_options_of(theirs)
    assert int(ours.graph_optimization_level) == 2
    assert ours.execution_mode is eais.ExecutionMode.ORT_PARALLEL
    assert (ours.enable_cpu_mem_arena, ours.enable_mem_pattern) == (False, False)
    assert (ours.use_deterministic_compute, ours.intra_op_num_threads, ours.logid) == (
        True,
        3,
        "me",
    )
    assert set(ours.config_entries) == set(KNOWN_SESSION_KEYS)
    for options in (ours, None):
        assert session_options_of(options).has_providers() is False


def test_run_options_are_read_too() -> None:
    theirs = ort.RunOptions()
    theirs.add_run_config_entry("disable_synchronize_execution_providers", "1")
    theirs.logid = "tag"
    ours = run_options_of(theirs)
    assert ours is not None
    assert (ours.logid, ours.config_entries) == (
        "tag",
        {"disable_synchronize_execution_providers": "1"},
    )
    assert run_options_of(None) is None


def test_terminate_ends_what_is_under_way_then_and_nothing_later() -> None:
    options, ended = eais.RunOptions(), []
    with options.ending(lambda: ended.append(1)):
        options.terminate = True
    options.terminate = True
    assert ended == [1]
    with options.ending(lambda: ended.append(2)):
        assert ended == [1, 2]
