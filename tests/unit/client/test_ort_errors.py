"""onnxruntime's exceptions, handed from process to process and raised under `eais run`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from multiprocessing import Pipe
from types import ModuleType

import pytest

from eais.errors import DeadlineExceeded, EaisError, make_error
from eais_client.ort_errors import CLASSES, builtin_error, ort_error

STATE = "onnxruntime.capi.onnxruntime_pybind11_state"
ERRORS = [
    make_error("DEADLINE_EXCEEDED", "late", hint="wait", metadata={"instance": "ei-1"}),
    ort_error("MODEL_INVALID", "Fail", "no such operator"),
    builtin_error("INPUT_MISSING", ValueError, "Required inputs (['x']) are missing"),
]


def handed_over(error: EaisError) -> EaisError:
    """`error` as a process gets it that another of the program's sends it to."""
    there, here = Pipe()
    there.send(error)
    got: EaisError = here.recv()
    there.close()
    here.close()
    return got


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.reason)
def test_an_error_is_the_same_in_another_process_of_the_program(error: EaisError) -> None:
    again = handed_over(error)
    assert type(again) is type(error)
    assert (again.reason, str(again), again.hint) == (error.reason, str(error), error.hint)
    assert again.metadata == error.metadata


def test_what_is_a_timeout_here_is_one_there() -> None:
    again = handed_over(ERRORS[0])
    assert isinstance(again, DeadlineExceeded)
    assert isinstance(again, TimeoutError)


@pytest.fixture
def standing_in() -> Iterator[None]:
    """onnxruntime's module of exceptions is one that has ours."""
    before = sys.modules.get(STATE)
    module = ModuleType(STATE)
    vars(module).update(CLASSES)
    sys.modules[STATE] = module
    yield
    del sys.modules[STATE]
    if before is not None:
        sys.modules[STATE] = before


@pytest.mark.usefixtures("standing_in")
def test_where_our_classes_stand_in_an_error_is_of_each_once() -> None:
    error = ort_error("MODEL_INVALID", "InvalidProtobuf", "no model")
    assert isinstance(error, CLASSES["InvalidProtobuf"])
    assert isinstance(error, EaisError)
