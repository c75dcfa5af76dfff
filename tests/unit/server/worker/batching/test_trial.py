"""Trials on onnxruntime: what is the same to the bit, what isn't, and what shows nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eais.errors import make_error
from eais_server.devices.driver import ModelSource, RunSettings, SessionSettings
from eais_server.runtime.session import open_session
from eais_server.testing.runtime import FakeSession
from eais_server.worker.batching.eligible import batchable
from eais_server.worker.batching.kinds import kind_of
from eais_server.worker.batching.trial import STEP_NS, Finding, Trial
from tests.unit.server.worker.batching.graphs import graph, node, weights
from tests.unit.server.worker.batching.test_joining import F, X, call
from tests.unit.server.worker.batching.test_row_proof import EQUAL_ROWS_HIDE_IT, floats, mlp


def clock() -> Callable[[], int]:
    """Each look at it takes a microsecond."""
    return itertools.count(0, 1000).__next__


def trial(
    session: Any, *arrays: Any, ticks: Callable[[], int] | None = None, cost_s: float = 0.0
) -> Trial:
    calls = [call(x=array) for array in arrays]
    kind = kind_of(*calls[0], X)
    assert kind is not None
    return Trial(kind, calls, session.prepare(RunSettings()), ticks or clock(), cost_s)


def found(made: Trial) -> Finding:
    while not made.step():
        pass
    return made.found


def loaded(tmp_path: Path, model: bytes) -> Any:
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    return open_session(ModelSource(path), SessionSettings(), threads=1)


def elementwise() -> bytes:
    return graph(node("Mul", "x w", "m"), node("Tanh", "m", "y"), constants=weights(w=floats(4)))


def test_a_model_whose_rows_are_alone_gives_the_same(tmp_path: Path) -> None:
    session = loaded(tmp_path, elementwise())
    result = found(trial(session, *(floats(1, 4) for _ in range(8))))
    assert result.shown
    assert result.same
    assert result.alone_ns > 0
    assert result.together_ns > 0


@pytest.mark.parametrize(
    "name", ["mean over rows", "max over rows", "rows in reverse", "quantised by the range of all"]
)
def test_equal_rows_pass_a_trial_of_what_is_not_row_wise(tmp_path: Path, name: str) -> None:
    session = loaded(tmp_path, EQUAL_ROWS_HIDE_IT[name][1]())
    one = floats(1, 4)
    assert found(trial(session, one, one)).same
    assert not found(trial(session, one, one * np.float32(3))).same


@pytest.mark.parametrize("name", EQUAL_ROWS_HIDE_IT)
def test_so_it_takes_the_proof_or_the_callers_word(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(EQUAL_ROWS_HIDE_IT[name][1]())
    session = open_session(ModelSource(path), SessionSettings(), threads=1)
    assert batchable(path, session.signature, "") is None
    assert batchable(path, session.signature, "off") is None
    said = batchable(path, session.signature, "on")
    assert said is not None
    assert said.inputs == X


def test_what_is_proven_may_unless_it_was_forbidden(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(mlp())
    session = open_session(ModelSource(path), SessionSettings(), threads=1)
    assert batchable(path, session.signature, "") is not None
    assert batchable(path, session.signature, "off") is None


def test_a_batch_that_the_callers_options_fix_is_none(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(mlp())
    options = SessionSettings(free_dimensions_by_name={"N": 1})
    session = open_session(ModelSource(path), options, threads=1)
    assert batchable(path, session.signature, "on") is None


def test_another_choice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="batching is on or off") as caught:
        batchable(tmp_path, FakeSession().signature, "always")
    assert getattr(caught.value, "reason", "") == "OPTION_REFUSED"


def test_zeros_are_no_trial() -> None:
    fake = FakeSession()
    assert found(trial(fake, F + 1, F)) == Finding(shown=False)
    assert fake.runs == 0


@pytest.mark.parametrize(
    "error", [make_error("RUN_FAILED", "no"), MemoryError(), ValueError("a bug")]
)
def test_a_run_that_fails_says_nothing_of_the_answers(error: Exception) -> None:
    fake = FakeSession()
    fake.fail_next(error)
    assert found(trial(fake, F + 1, F + 2)) == Finding(shown=False, failed=True)


def differs(result: Finding) -> bool:
    return result == Finding(shown=True, together_ns=result.together_ns) and result.together_ns > 0


def test_outputs_that_are_not_the_rows_are_no_proof() -> None:
    fake = FakeSession(lambda feed: [feed["x"].sum(axis=0)])
    assert differs(found(trial(fake, F + 1, F + 2)))


def test_a_bit_that_differs_is_seen() -> None:
    def answer(feed: Any) -> list[Any]:
        x = feed["x"].copy()
        if len(x) > 1:
            x[-1, -1] = np.nextafter(x[-1, -1], np.float32(9))
        return [x]

    assert differs(found(trial(FakeSession(answer), F + 1, F + 2)))


def test_a_step_ends_when_its_time_is_up_and_slow_runs_are_made_once() -> None:
    now = [0]

    def slow(feed: Any) -> list[Any]:
        now[0] += 25 * STEP_NS
        return [feed["x"]]

    fake = FakeSession(slow)
    made = trial(fake, F + 1, F + 2, ticks=lambda: now[0])
    steps = 1
    while not made.step():
        steps += 1
    assert made.found.same
    # Together once, and each of two alone; what ends it takes a step of its own.
    assert fake.runs == 3
    assert steps == 4


def test_what_a_run_takes_after_others_is_not_taken_for_what_a_call_takes() -> None:
    now, rounds = [0], [0]

    def answer(feed: Any) -> list[Any]:
        # The first run after something else takes ten times as long.
        now[0] += 10_000 if rounds[0] else 1_000
        rounds[0] = 0
        return [feed["x"]]

    made = trial(FakeSession(answer), *(F + n for n in range(1, 5)), ticks=lambda: now[0])
    rounds[0] = 1
    while not made.step():
        rounds[0] = 1
    assert made.found.together_ns == 10_000
    assert made.found.alone_ns == (10_000 + 3 * 1_000) / 4


def test_what_is_left_of_it_is_known_by_estimate() -> None:
    now = [0]

    def slow(feed: Any) -> list[Any]:
        now[0] += 25 * STEP_NS
        return [feed["x"]]

    made = trial(FakeSession(slow), F + 1, F + 2, ticks=lambda: now[0], cost_s=0.025)
    seen = [(made.run_s, made.left)]
    while not made.step():
        seen.append((made.run_s, made.left))
    assert seen == [(0.05, 2), (0.05, 2), (0.025, 1), (0.025, 0)]


def test_what_came_in_is_not_kept() -> None:
    made = trial(FakeSession(), F + 1, F + 2)
    made.step()
    assert made.calls == ()
