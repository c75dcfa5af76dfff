"""What is called: one model whose answers are arithmetic, and a real one out of a wheel."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

import eais
from benchmarks.drain.callers import Ask
from benchmarks.faults.model import SMALL, Question, model
from eais_client.demo.file_types import INPUT, model_file

INPUTS = 16
_LONG = 2048
_BYTES = 257
RTOL, ATOL = 1e-4, 1e-6


def tiny(options: list[dict[str, Any]]) -> tuple[eais.InferenceSession, Ask]:
    """The first: right is what is equal, bit by bit."""
    session = eais.InferenceSession(model(), provider_options=options)

    def ask(number: int) -> bool:
        question = Question(number * SMALL, SMALL)
        return question.answers(session.run(None, question.feeds))

    return session, ask


def real(options: list[dict[str, Any]]) -> tuple[eais.InferenceSession, Ask]:
    """The second: right is what onnxruntime answers in this process, within float32's rounding."""
    path = str(model_file())
    feeds = _feeds()
    here = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    want = [[np.asarray(output) for output in here.run(None, feed)] for feed in feeds]
    session = eais.InferenceSession(path, provider_options=options)

    def ask(number: int) -> bool:
        got = session.run(None, feeds[number % INPUTS])
        pairs = zip(got, want[number % INPUTS], strict=True)
        return all(np.allclose(np.asarray(a), b, rtol=RTOL, atol=ATOL) for a, b in pairs)

    return session, ask


def _feeds() -> list[dict[str, Any]]:
    rng = np.random.default_rng(7)
    return [{INPUT: rng.integers(0, _BYTES, (1, _LONG), dtype=np.int32)} for _ in range(INPUTS)]
