"""Tests which runtime is chosen, by fakes that are slow, fast, wrong or worse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from eais.errors import EaisError, ModelRejected, make_error
from eais.tolerance import Precision, Tolerance
from eais_server.devices.driver import (
    REFERENCE,
    DeviceDriver,
    ModelInfo,
    ModelSource,
    Reservation,
    RunSettings,
    Runtime,
    SessionSettings,
    SessionSignature,
    ValueSpec,
)
from eais_server.worker.choosing_runtime import (
    MOST_PAIRS,
    Choice,
    Guard,
    Option,
    Task,
    Trial,
    better,
    candidates,
    chosen,
    open_guarded,
    open_reference,
)
from tests.unit.server.runtime import models

FAST = Runtime("fast")
HALF = Runtime("half", Precision.BF16)
EIGHT = Runtime("eight", Precision.INT8)
Answer = Callable[[Mapping[str, Any]], list[Any]]


def doubled(feed: Mapping[str, Any]) -> list[Any]:
    return [2 * feed["x"]]


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeSession:
    """Answers as it is told, in the time that it is told, by the clock."""

    clock: Clock
    took: float = 0.01
    answer: Answer = doubled
    inputs: tuple[ValueSpec, ...] = (ValueSpec("x", "tensor(float)", ("N", 3)),)
    runs: int = 0
    fed: list[Mapping[str, Any]] = field(default_factory=list)
    terminated = False

    @property
    def signature(self) -> SessionSignature:
        outputs = (ValueSpec("y", "tensor(float)", ("N", 3)),)
        info = ModelInfo("", "", "", "", "", 0, {})
        return SessionSignature(self.inputs, outputs, (), info, ())

    def prepare(self, settings: RunSettings) -> FakeSession:
        return self

    def execute(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        self.runs += 1
        self.fed.append(feed)
        self.clock.now += self.took
        return self.answer(feed)

    def terminate(self) -> None:
        raise AssertionError("nothing was to be ended")


@dataclass
class FakeDriver:
    """Opens one session, or raises."""

    session: FakeSession | Exception
    opened: int = 0

    def open(self, share: Any, model: Any, settings: Any, runtime: Runtime = REFERENCE) -> Any:
        self.opened += 1
        if isinstance(self.session, Exception):
            raise self.session
        return self.session


def option(session: FakeSession | Exception, runtime: Runtime = FAST) -> Option:
    return Option(cast("DeviceDriver", FakeDriver(session)), runtime)


def task(tolerance: Tolerance = Tolerance.FP32, path: Path = Path("m.onnx")) -> Task:
    return Task(Reservation("cpu0", 1000, 1), ModelSource(path), SessionSettings(), tolerance)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reference(clock: Clock) -> FakeSession:
    return FakeSession(clock)


def tried(reference: FakeSession, candidate: FakeSession | Exception) -> Trial:
    guard = Guard(task(), cast("Any", reference), clock=reference.clock)
    return guard.trial(option(candidate))


def test_what_answers_the_same_passes_and_is_timed(clock: Clock, reference: FakeSession) -> None:
    fast = FakeSession(clock, took=0.004)
    found = tried(reference, fast)
    assert (found.session, found.refused) == (fast, "")
    assert found.ratio == pytest.approx(0.4)
    assert fast.runs == 3 + MOST_PAIRS


def test_slow_runs_are_timed_less_often(clock: Clock) -> None:
    slow = FakeSession(clock, took=0.6)
    fast = FakeSession(clock, took=0.3)
    assert tried(slow, fast).ratio == pytest.approx(0.5)
    assert fast.runs == 1 + 2  # one that is compared, and what a second and a half has room for


def garbage(feed: Mapping[str, Any]) -> list[Any]:
    return [np.full_like(feed["x"], np.nan)]


def off(feed: Mapping[str, Any]) -> list[Any]:
    return [2 * feed["x"] + np.float32(0.5)]


def off_later(feed: Mapping[str, Any]) -> list[Any]:
    return off(feed) if len(feed["x"]) == 3 else doubled(feed)


def double_precision(feed: Mapping[str, Any]) -> list[Any]:
    return [2 * feed["x"].astype(np.float64)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (garbage, "what is no number"),
        (off, "of its scale"),
        (off_later, "of its scale"),
        (double_precision, "float64, not float32"),
        (lambda feed: [], "0 outputs, not 1"),
    ],
)
def test_what_answers_otherwise_is_refused_with_the_reason(
    clock: Clock, reference: FakeSession, answer: Answer, words: str
) -> None:
    found = tried(reference, FakeSession(clock, took=0.001, answer=answer))
    assert found.session is None
    assert words in found.refused


def raises(error: Exception) -> Answer:
    def fail(feed: Mapping[str, Any]) -> list[Any]:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (make_error("RUN_FAILED", "a kernel fell over"), "fails where onnxruntime answers"),
        (make_error("INPUT_SHAPE", "rows of 8 only"), "takes none of the inputs"),
        (MemoryError(), "no memory"),
        (RuntimeError("what"), "it failed; the log says how"),
    ],
)
def test_what_fails_is_refused(
    clock: Clock, reference: FakeSession, error: Exception, words: str
) -> None:
    assert words in tried(reference, FakeSession(clock, answer=raises(error))).refused


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModelRejected("RUNTIME_REFUSED", "no strings"), "RUNTIME_REFUSED: no strings"),
        (OSError("gone"), "it failed; the log says how"),
    ],
)
def test_what_does_not_open_is_refused(
    reference: FakeSession, error: Exception, words: str
) -> None:
    assert tried(reference, error).refused == words


def test_a_candidate_that_takes_fewer_shapes_is_compared_on_those(
    clock: Clock, reference: FakeSession
) -> None:
    def one_row(feed: Mapping[str, Any]) -> list[Any]:
        if len(feed["x"]) > 1:
            raise make_error("INPUT_SHAPE", "one row")
        return doubled(feed)

    assert tried(reference, FakeSession(clock, answer=one_row)).refused == ""


def test_open_sizes_are_guessed_until_the_reference_takes_them(clock: Clock) -> None:
    def large_only(feed: Mapping[str, Any]) -> list[Any]:
        if feed["x"].shape[2] < 32:
            raise make_error("RUN_FAILED", "smaller than the kernel")
        return doubled(feed)

    inputs = (ValueSpec("x", "tensor(float)", ("N", 3, "H", "W")),)
    reference = FakeSession(clock, answer=large_only, inputs=inputs)
    fast = FakeSession(clock, took=0.001, inputs=inputs)
    assert tried(reference, fast).session is fast
    assert {feed["x"].shape[1:] for feed in fast.fed} == {(3, 32, 32)}


@pytest.mark.parametrize(
    "reference_",
    [
        {"answer": raises(make_error("RUN_FAILED", "it never answers"))},
        {"answer": garbage},
        {"inputs": (ValueSpec("x", "tensor(string)", ("N",)),)},
        {"inputs": (ValueSpec("x", "seq(tensor(float))", ()),)},
    ],
)
def test_what_cannot_be_compared_is_not_served_by_another(
    clock: Clock, reference_: dict[str, Any]
) -> None:
    fast = FakeSession(clock, took=0.001)
    found = tried(FakeSession(clock, **reference_), fast)
    assert (found.session, found.refused) == (None, "its answers can't be compared")
    assert fast.runs == 0


def test_the_reference_answers_once_for_all_candidates(
    clock: Clock, reference: FakeSession
) -> None:
    guard = Guard(task(), cast("Any", reference), clock=clock)
    wrong = FakeSession(clock, answer=off)
    for _ in range(3):
        assert guard.trial(option(wrong)).session is None
    assert reference.runs == 3


ALL = [option(OSError(), r) for r in (REFERENCE, FAST, HALF, EIGHT)]


@pytest.mark.parametrize(
    ("tolerance", "allowed"),
    [
        (Tolerance.EXACT, []),
        (Tolerance.FP32, [FAST]),
        (Tolerance.BF16, [FAST, HALF]),
        (Tolerance.INT8, [FAST, HALF, EIGHT]),
    ],
)
def test_the_tolerance_says_what_is_tried(tolerance: Tolerance, allowed: list[Runtime]) -> None:
    assert [each.runtime for each in candidates(ALL, tolerance)] == allowed


def test_a_device_without_the_reference_may_try_to_be_exact() -> None:
    assert [each.runtime for each in candidates(ALL[1:], Tolerance.EXACT)] == [FAST]


def test_the_fastest_by_a_margin_takes_over(reference: FakeSession) -> None:
    session = cast("Any", reference)
    slower, close, faster, fastest = (
        Trial(Runtime(name), session, ratio=ratio)
        for name, ratio in (("a", 1.5), ("b", 0.95), ("c", 0.8), ("d", 0.4))
    )
    wrong = Trial(Runtime("e"), refused="no", ratio=0.1)
    assert better([slower, close, wrong]) is None
    assert better([slower, faster, close, fastest, wrong]) is fastest
    assert better([]) is None


def test_the_reference_is_opened_first_where_the_device_has_it(reference: FakeSession) -> None:
    fast, plain = option(OSError()), option(reference, REFERENCE)
    assert open_reference(task(), [fast, plain]) is cast("Any", reference)
    assert open_reference(task(), [fast]) is None


def mul(feed: Mapping[str, Any]) -> list[Any]:
    return [feed["X"] * np.arange(1, 7, dtype=np.float32).reshape(3, 2)]


@pytest.fixture
def mul_1(tmp_path: Path) -> Path:
    (tmp_path / "m.onnx").write_bytes(models.dataset("mul_1"))
    return tmp_path / "m.onnx"


def test_a_device_without_the_reference_must_pass_before_it_serves(
    clock: Clock, mul_1: Path
) -> None:
    right = FakeSession(clock, answer=mul)
    choice, session = open_guarded(task(path=mul_1), [option(right)])
    assert (choice, session) == (Choice(FAST), cast("Any", right))


def test_what_isnt_used_is_named_with_the_reason() -> None:
    slow, refused = Trial(FAST, ratio=0.95), Trial(HALF, refused="it is off")
    assert chosen(None, [slow, refused]) == Choice(
        REFERENCE,
        ((FAST, "it takes 0.95 of the reference's time, more than 0.9"), (HALF, "it is off")),
    )
    best = Trial(HALF, ratio=0.5)
    assert chosen(best, [Trial(FAST, ratio=0.8), best]) == Choice(
        HALF, ((FAST, "it takes 0.80 of the reference's time, another one less"),)
    )


def test_a_device_that_answers_garbage_serves_nothing(clock: Clock, mul_1: Path) -> None:
    wrong = FakeSession(clock, answer=lambda feed: [feed["X"]])
    with pytest.raises(ModelRejected) as caught:
        open_guarded(task(path=mul_1), [option(wrong), option(OSError("x"), HALF)])
    assert caught.value.reason == "PARITY_REFUSED"
    assert "fast/fp32: output 'Y': off by" in caught.value.message
    assert "half" not in caught.value.message  # not admitted, so not tried


def test_what_a_device_refuses_a_model_with_is_told(clock: Clock, mul_1: Path) -> None:
    missing = make_error("IMAGE_MISSING", "no role computes it")
    lost = make_error("DEVICE_LOST", "it is gone")
    for driver, reason in (
        (option(missing), "IMAGE_MISSING"),
        (option(lost), "DEVICE_LOST"),
        (option(FakeSession(clock, answer=raises(lost))), "DEVICE_LOST"),
    ):
        with pytest.raises(EaisError) as caught:
            open_guarded(task(path=mul_1), [driver])
        assert caught.value.reason == reason


def test_what_onnxruntime_refuses_no_device_gets(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x0a\x03abc")
    other = option(AssertionError("never"))
    with pytest.raises(EaisError, match=r"rotobuf|graph|INVALID"):
        open_guarded(task(path=tmp_path / "m.onnx"), [other])
    assert cast("FakeDriver", other.driver).opened == 0
