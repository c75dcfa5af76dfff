"""Sessions that fall back on this process: what is answered where, said how, and when."""

from __future__ import annotations

import gc
import importlib
import logging
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import eais
from eais.errors import ConfigError, DeadlineExceeded, EaisError, UsageError, make_error
from eais.instance import InstanceState
from eais_client.asked import Asked, ask
from eais_client.config import ClientConfig
from eais_client.fallback import MARK, FallbackSession, _Alarm
from eais_client.frontend import FrontEnd
from eais_client.local_model import LocalModel
from eais_client.session_options import SessionOptions
from eais_client.session_stats import SessionStats
from eais_client.testing import FakeWire, fake_frontend, fake_instance
from eais_client.testing import value_models as models
from eais_client.testing.conformance import (
    check_answers,
    check_async,
    check_bad_models,
    check_bytes,
    check_lists,
    check_mistakes,
    check_outputs,
    check_threads,
    oracle,
    own_models,
)
from eais_client.testing.conformance_values import check_values
from eais_client.testing.fake_tools import FakeTools
from eais_client.testing.sameness import assert_same
from tests.unit.client.ort_host import OrtHost

state: Any = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
MUL = own_models()["mul_1"]
ONES = np.ones((3, 2), np.float32)
AWAY = make_error("POOL_UNREACHABLE", "nobody answers")
GONE = make_error("HOST_UNREACHABLE", "nobody answers")
EXPECTED: Any = onnxruntime.InferenceSession(MUL).run(None, {"X": ONES})
FOREVER = [AWAY] * 1000
_CHECKS = (
    check_async,
    check_bad_models,
    check_bytes,
    check_lists,
    check_mistakes,
    check_outputs,
    check_threads,
)


class Stand:
    """A pool in memory that can go away, and a front-end of it."""

    def __init__(self) -> None:
        self.wire = FakeWire(OrtHost(), fake_instance())
        self.fakes = FakeTools()
        self.frontend = fake_frontend(self.wire, self.fakes)

    def session(self, model: Any = MUL, *more: Any, **how: Any) -> eais.InferenceSession:
        return eais.InferenceSession(
            model, *more, frontend=self.frontend, **{"fallback": "local", **how}
        )

    def away(self) -> None:
        """The pool goes away: streams break, nobody answers."""
        for what in ("list", "describe", "locate", "open"):
            self.wire.fail_next(what, *FOREVER)
        self.wire.fail_next("stream", *[GONE] * 1000)
        for alarm in self.fakes.alarms:  # calls are out of patience at once; probes wait
            alarm.jump = not isinstance(getattr(alarm._ring, "__self__", None), _Alarm)
        for stream in self.wire.streams:
            if stream.open:
                stream.broke()
        self.fakes.pass_time(10)

    def back(self) -> None:
        """The pool is there again."""
        self.wire.heal()

    def pass_until(self, done: Any) -> None:
        for _ in range(2000):
            if done():
                return
            self.fakes.clock.now += 0.1
            for alarm in self.fakes.alarms:
                if alarm.at <= self.fakes.clock.now:
                    alarm.ring()
        raise AssertionError("it never came to that")


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    monkeypatch.delenv("EAIS_FALLBACK", raising=False)
    made = Stand()
    yield made
    made.frontend.close()


def asked(stand: Stand, model: Any = MUL, given: Any = None) -> Asked:
    return ask(model, SessionOptions(), given, None, None, "local", stand.frontend)


def test_without_being_asked_nothing_runs_here(stand: Stand) -> None:
    stand.away()
    with pytest.raises(EaisError) as caught:
        stand.session(fallback=None)
    assert caught.value.reason == "POOL_UNREACHABLE"


@pytest.mark.parametrize("fallback", ["", None])
def test_a_session_that_does_not_fall_back_says_so(stand: Stand, fallback: str | None) -> None:
    session = stand.session(fallback=fallback)
    session.run(None, {"X": ONES})
    assert not session.fallback_active
    assert session.stats() == SessionStats(pool_calls=1)


def test_while_the_pool_is_there_it_answers(stand: Stand) -> None:
    session = stand.session()
    assert_same(session.run(None, {"X": ONES}), EXPECTED)
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert session.stats() == SessionStats(pool_calls=1)
    assert session.stats().transport == stand.wire.streams[0].used
    assert len(stand.wire.streams[0].sent) == 1


def test_the_session_conforms_here_too(stand: Stand) -> None:
    stand.away()
    check_values(stand.session, oracle)
    check_answers(stand.session, own_models()["logreg_iris"])
    for check in _CHECKS:
        check(stand.session)


def test_it_starts_without_a_pool_and_says_so(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    stand.away()
    session = stand.session()
    assert_same(session.run(None, {"X": ONES}), EXPECTED)
    assert session.fallback_active
    assert session.get_providers() == ["CPUExecutionProvider", MARK]
    assert session.get_provider_options() == {"CPUExecutionProvider": {}, MARK: {}}
    assert session.stats() == SessionStats(local_calls=1, falls=1)
    assert session.stats().transport == "", "nothing carries a call that is answered here"
    assert [(r.levelno, "can't be reached" in r.message) for r in caplog.records] == [
        (logging.WARNING, True)
    ]
    assert "POOL_UNREACHABLE: nobody answers" in caplog.text


def test_calls_under_way_are_answered_here_once_each(stand: Stand) -> None:
    session = stand.session()
    session.run(None, {"X": ONES})
    stand.wire.holding = True
    answers: list[Any] = []

    def call(number: int) -> None:
        answers.append((number, session.run(None, {"X": ONES * number})))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    stream = stand.wire.streams[0]
    while len(stream.sent) < 9:
        threading.Event().wait(0.001)
    stand.away()
    for thread in threads:
        thread.join(60)
    assert sorted(number for number, _ in answers) == list(range(8))
    for number, answer in answers:
        assert_same(answer, [EXPECTED[0] * np.float32(number)])
    assert session.stats() == SessionStats(pool_calls=1, local_calls=8, falls=1)


def test_it_goes_back_when_the_pool_is_steady(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    session = stand.session()
    session.run(None, {"X": ONES})
    stand.away()
    session.run(None, {"X": ONES})
    assert session.fallback_active
    stand.back()
    stand.pass_until(lambda: not session.fallback_active)
    assert_same(session.run(None, {"X": ONES}), EXPECTED)
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert session.stats() == SessionStats(pool_calls=2, local_calls=1, falls=1, returns=1)
    assert [("can't be reached" in r.message, "is back" in r.message) for r in caplog.records] == [
        (True, False),
        (False, True),
    ]


def test_what_was_loaded_here_is_let_go_after_that(stand: Stand) -> None:
    asked_for = asked(stand)
    loaded: list[weakref.ref[Any]] = []

    class Runtime:
        def __getattr__(self, name: str) -> Any:
            return getattr(onnxruntime, name)

        def InferenceSession(self, *args: Any, **more: Any) -> Any:
            made = onnxruntime.InferenceSession(*args, **more)
            loaded.append(weakref.ref(made))
            return made

    session = FallbackSession(asked_for, LocalModel(asked_for, Runtime, lambda: True))
    session.run(None, {"X": ONES})
    assert loaded == []  # not before it is needed
    stand.away()
    session.run(None, {"X": ONES})
    session.run(None, {"X": ONES})
    assert len(loaded) == 1
    stand.back()
    stand.pass_until(lambda: not session.fallback_active)
    gc.collect()
    assert loaded[0]() is None
    session.close()


def test_a_session_that_began_here_goes_to_the_pool(stand: Stand) -> None:
    stand.away()
    session = stand.session()
    stand.back()
    stand.pass_until(lambda: not session.fallback_active)
    assert_same(session.run(None, {"X": ONES}), EXPECTED)
    assert session.stats() == SessionStats(pool_calls=1, falls=1, returns=1)


def test_no_call_is_lost_at_any_change(stand: Stand) -> None:
    session = stand.session()
    for turn in range(5):
        assert_same(session.run(None, {"X": ONES}), EXPECTED)
        stand.away()
        for _ in range(3):
            assert_same(session.run(None, {"X": ONES}), EXPECTED)
        stand.back()
        stand.pass_until(lambda: not session.fallback_active)
        assert session.stats().returns == turn + 1
    assert session.stats() == SessionStats(pool_calls=5, local_calls=15, falls=5, returns=5)


def test_mistakes_are_not_for_this_process(stand: Stand) -> None:
    session = stand.session()
    with pytest.raises(state.InvalidArgument):
        session.run(None, {"X": ONES.astype(np.float64)})
    with pytest.raises(ValueError, match="Required inputs"):
        session.run(None, {})
    assert session.stats() == SessionStats()


def test_a_stop_is_not_an_absence(stand: Stand) -> None:
    session = stand.session()
    stand.wire.change("ei-1", state=InstanceState.BOUND, listener=None, workers=())
    with pytest.raises(EaisError) as caught:
        session.run(None, {"X": ONES})
    assert caught.value.reason == "INSTANCE_STOPPED"
    assert not session.fallback_active


def test_a_pool_that_answers_and_refuses_is_not_back(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    stand.away()
    session = stand.session()
    stand.back()
    stand.wire.change("ei-1", state=InstanceState.BOUND, listener=None, workers=())
    stand.pass_until(lambda: "INSTANCE_STOPPED" in caplog.text)
    assert_same(session.run(None, {"X": ONES}), EXPECTED)
    assert session.fallback_active
    assert caplog.text.count("INSTANCE_STOPPED") == 1


def test_a_model_that_is_no_model_is_refused_here_as_there(stand: Stand) -> None:
    stand.away()
    with pytest.raises(state.InvalidProtobuf) as caught:
        stand.session(b"garbage")
    assert isinstance(caught.value, EaisError)
    assert caught.value.reason == "MODEL_PARSE"


def test_a_model_that_has_changed_is_not_run(stand: Stand, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(MUL.read_bytes())
    session = stand.session(model)
    model.write_bytes(own_models()["sigmoid"].read_bytes())
    stand.away()
    with pytest.raises(UsageError) as caught:
        session.run(None, {"X": ONES})
    assert caught.value.reason == "MODEL_CHANGED"


def test_the_options_are_the_same_here(stand: Stand) -> None:
    ours = eais.SessionOptions()
    ours.intra_op_num_threads = 1
    ours.graph_optimization_level = eais.GraphOptimizationLevel.ORT_DISABLE_ALL
    ours.execution_mode = eais.ExecutionMode.ORT_PARALLEL
    ours.enable_mem_pattern = False
    ours.add_session_config_entry("session.set_denormal_as_zero", "1")
    ours.add_free_dimension_override_by_name("N", 4)
    ours.add_free_dimension_override_by_denotation("D", 4)
    asked_for = ask(MUL, ours, ours, ["CPUExecutionProvider"], None, "local", stand.frontend)
    here = LocalModel(asked_for, lambda: onnxruntime, lambda: True).session()
    options = here.get_session_options()
    assert (options.intra_op_num_threads, options.enable_mem_pattern) == (1, False)
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert options.get_session_config_entry("session.set_denormal_as_zero") == "1"


def test_onnxruntimes_own_options_are_taken_as_they_are(stand: Stand) -> None:
    given = onnxruntime.SessionOptions()
    given.add_free_dimension_override_by_name("N", 4)  # which can't be read from it
    model = models.identity(models.FLOAT, ["N"])
    here = LocalModel(asked(stand, model, given), lambda: onnxruntime, lambda: True)
    assert here.signature().inputs[0].shape == [4]


def test_without_onnxruntime_it_says_so_when_the_session_is_made(stand: Stand) -> None:
    with pytest.raises(ConfigError) as caught:
        LocalModel(asked(stand), lambda: None, lambda: None)
    assert caught.value.reason == "NOT_INSTALLED"
    assert "pip install onnxruntime" in caught.value.hint


def test_the_deadline_holds_while_the_pool_is_away(stand: Stand) -> None:
    session = stand.session(provider_options={"timeout_s": 0.5})
    session.run(None, {"X": ONES})
    stand.away()
    # Half of it is spent waiting for the pool, the rest is for this process.
    assert_same(session.run(None, {"X": ONES}), EXPECTED)
    assert session.stats().local_calls == 1
    with eais.deadline(0.1, clock=stand.fakes.clock):
        stand.fakes.clock.now += 0.2
        with pytest.raises(DeadlineExceeded):
            session.run(None, {"X": ONES})


def test_terminate_ends_a_call_here(stand: Stand) -> None:
    stand.away()
    session = stand.session()
    options = eais.RunOptions()
    options.terminate = True
    with pytest.raises(state.Fail, match="terminate"):
        session.run(None, {"X": ONES}, options)


def test_asynchronous_calls_fall_back_too(stand: Stand) -> None:
    session = stand.session()
    heard: list[tuple[Any, Any, str]] = []
    done = threading.Event()

    def callback(results: Any, user_data: Any, error: str) -> None:
        heard.append((results, user_data, error))
        done.set()

    stand.wire.holding = True
    session.run_async(None, {"X": ONES}, callback, 1)
    stand.away()
    assert done.wait(60)
    done.clear()
    session.run_async(None, {"X": ONES}, callback, 2)
    assert done.wait(60)
    assert [(user_data, error) for _, user_data, error in heard] == [(1, ""), (2, "")]
    for results, _, _ in heard:
        assert_same(results, EXPECTED)
    assert session.stats() == SessionStats(local_calls=2, falls=1)
    with pytest.raises(ValueError, match="Required inputs"):
        session.run_async(None, {}, callback, 3)


def test_a_closed_session_says_so_and_looks_no_more(stand: Stand) -> None:
    stand.away()
    session = stand.session()
    session.close()
    session.close()
    with pytest.raises(EaisError) as caught:
        session.run(None, {"X": ONES})
    assert caught.value.reason == "SESSION_CLOSED"
    said = len(stand.wire.said)
    stand.fakes.pass_time(1000)
    assert len(stand.wire.said) == said


def test_a_session_that_is_forgotten_looks_no_more(stand: Stand) -> None:
    stand.away()
    session = stand.session()
    del session
    AWAY.with_traceback(None)  # which names all that was at work
    gc.collect()
    said = len(stand.wire.said)
    stand.fakes.pass_time(1000)
    assert len(stand.wire.said) == said


@pytest.mark.parametrize(
    ("argument", "variable", "setting", "expected"),
    [
        (None, None, "", False),
        (None, None, "local", True),
        (None, "", "local", False),
        (None, "local", "", True),
        ("", "local", "local", False),
        ("local", "", "", True),
    ],
)
def test_argument_before_variable_before_file(
    stand: Stand,
    monkeypatch: pytest.MonkeyPatch,
    argument: str | None,
    variable: str | None,
    setting: str,
    expected: bool,
) -> None:
    if variable is not None:
        monkeypatch.setenv("EAIS_FALLBACK", variable)
    config = ClientConfig(fallback=setting)
    frontend = FrontEnd(stand.wire, config, stand.fakes.tools())
    made = ask(MUL, SessionOptions(), None, None, None, argument, frontend)
    assert made.fallback is expected


def test_another_word_is_refused(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match='must be "local" or ""'):
        stand.session(fallback="cloud")
    monkeypatch.setenv("EAIS_FALLBACK", "yes")
    with pytest.raises(UsageError, match="'yes'"):
        stand.session(fallback=None)
    with pytest.raises(ValueError, match='must be "local"'):
        ClientConfig(fallback="x")
