from __future__ import annotations

from pathlib import Path

import pytest

from eais_server.runtime.failures import load_failure, run_failure

OPSET = "OPSET_UNSUPPORTED"
MEMORY = "MODEL_MEMORY"
MODEL = Path("/state/workers/7/ab12/model.onnx")


class Fail(Exception):
    """Named as onnxruntime's."""


@pytest.mark.parametrize(
    ("error", "reason", "about"),
    [
        (Fail("No graph was found in the protobuf."), "MODEL_PARSE", {}),
        (Fail("bfc_arena.cc:360 Failed to allocate memory for buffer"), "MODEL_MEMORY", {}),
        (Fail("std::bad_alloc"), "MODEL_MEMORY", {}),
        (Fail("Available memory of 12 is smaller than requested bytes of 99"), MEMORY, {}),
        (Fail("CUDA failure 2: out of memory ; GPU=0"), MEMORY, {}),
        (MemoryError(), "MODEL_MEMORY", {}),
        (Fail("Could not find an implementation for Add(6) node"), "OP_REFUSED", {"op": "Add"}),
        (Fail("Error No Op registered for Ad with domain"), "OP_REFUSED", {"op": "Ad"}),
        (Fail("error: d:F(-1) is not a registered function/op"), "OP_REFUSED", {"op": "F"}),
        (Fail("No Op registered for " + "x" * 90), "OP_REFUSED", {"op": "x" * 64}),
        (Fail("Unsupported model IR version: 9, max supported IR version: 8"), OPSET, {"max": "8"}),
        (
            Fail("only *guarantees* support for models stamped; ai.onnx is till opset 26."),
            OPSET,
            {"max": "26"},
        ),
        (Fail("something that nobody has seen yet"), "MODEL_INVALID", {}),
    ],
)
def test_why_a_model_was_not_loaded(error: Exception, reason: str, about: dict[str, str]) -> None:
    found = load_failure(error, MODEL)
    assert found.reason == reason
    assert found.metadata == {"onnxruntime_class": type(error).__name__} | about


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Fail("Non-zero status code returned while running X node."), "RUN_FAILED"),
        (Fail("Failed to allocate memory for requested buffer of size 4"), "RUN_MEMORY"),
        (Fail("Available memory of 12 is smaller than requested bytes of 99"), "RUN_MEMORY"),
        (Fail("CUDA failure 2: out of memory ; GPU=0"), "RUN_MEMORY"),
        (MemoryError(), "RUN_MEMORY"),
        (ValueError("Required inputs (['X']) are missing from input feed ([])."), "INPUT_MISSING"),
        (RuntimeError("Input must be a list of dictionaries"), "INPUT_REJECTED"),
        (RuntimeError("No corresponding Numpy type for Tensor Type."), "OUTPUT_UNSUPPORTED"),
        (OSError("something else"), "RUN_FAILED"),
    ],
)
def test_why_a_run_failed(error: Exception, reason: str) -> None:
    assert run_failure(error).reason == reason


def test_the_text_is_whole_but_for_the_models_path() -> None:
    text = f"Load model from {MODEL} failed:{MODEL.parent}/w.bin: Invalid fd\n" + "x" * 2000
    found = load_failure(Fail(text), MODEL).message
    assert found == "Load model from {model} failed:{folder}/w.bin: Invalid fd\n" + "x" * 2000


def test_an_error_without_words_has_its_name() -> None:
    assert load_failure(MemoryError(), MODEL).message == "MemoryError"
