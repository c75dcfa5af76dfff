from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from eais_client.cli.progress import Silent
from eais_client.cli.signals import ended_by_signals, told_by_signals, undisturbed
from eais_client.cli.testing import FakeClock, FakeOutside
from eais_client.demo import file_types, resnet
from eais_client.demo.compare import SideBySide, same_bits, side_by_side
from eais_client.demo.own_pool import environ_in, own_environ, own_pool
from eais_client.demo.result import Checks, DemoResult, LeftBehind, ModelCheck, Stay


def f32(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ([f32(1, np.nan)], [f32(1, np.nan)], True),
        ([f32(0.0)], [f32(-0.0)], False),
        ([f32(1)], [np.ones(1)], False),
        ([np.zeros((1, 2))], [np.zeros((2, 1))], False),
        ([np.zeros(1)], [], False),
    ],
)
def test_same_bits(ours: list[object], theirs: list[object], same: bool) -> None:
    assert same_bits(ours, theirs) is same


def test_both_are_timed_in_turns_after_a_round_that_does_not_count() -> None:
    clock = FakeClock()
    calls: list[str] = []

    def call(name: str, seconds: float) -> None:
        calls.append(name)
        clock.sleep(seconds)

    found = side_by_side(
        lambda: call("local", 0.010), lambda: call("remote", 0.012), rounds=3, clock=clock
    )
    assert calls == ["local", "remote"] * 4
    assert (round(found.local_ms, 6), round(found.remote_ms, 6)) == (10, 12)


def test_resnet_answers_depend_on_the_picture(tmp_path: Path) -> None:
    resnet.write_resnet50(tmp_path / "model.onnx")
    onnx.checker.check_model(str(tmp_path / "model.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    pictures = resnet.pictures(2)
    one, other = (np.asarray(session.run(None, {resnet.INPUT: x})[0]) for x in pictures)
    assert not same_bits([one], [other])
    assert np.isfinite(one).all()
    assert len(np.unique(one)) > 900


def test_magika_names_what_the_files_are() -> None:
    files = file_types.own_files()
    session = onnxruntime.InferenceSession(str(file_types.model_file()))
    found = file_types.identify(session, files)
    assert len(found.labels) == len(files) > 20
    kinds = {Path(name).suffix: label for name, label in found.labels.items()}
    assert kinds[".py"] == "python"
    assert isinstance(found.feeds[0][file_types.INPUT], list)  # as the real program calls it


def test_the_demo_sees_nothing_of_the_users_own(tmp_path: Path) -> None:
    environ = environ_in(tmp_path, {"EAIS_INSTANCE": "ei-1", "EAIS_CONTEXT": "x", "PATH": "/bin"})
    assert environ == {
        "PATH": "/bin",
        "EAIS_CONFIG_DIR": str(tmp_path / "config"),
        "EAIS_STATE_DIR": str(tmp_path / "state"),
        "ORT_DISABLE_TELEMETRY": "1",
    }


def test_own_environ_is_given_back() -> None:
    before = dict(os.environ)
    with own_environ({"ONLY": "this"}):
        assert dict(os.environ) == {"ONLY": "this"}
    assert dict(os.environ) == before


def test_being_told_to_end_unwinds() -> None:
    with pytest.raises(SystemExit) as ended, ended_by_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_being_told_to_stop_calls_back() -> None:
    told: list[bool] = []
    with told_by_signals(lambda: told.append(True)):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGHUP)
    assert told == [True, True]


def test_taking_down_is_not_disturbed() -> None:
    with undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_pool_that_does_not_come_up_leaves_no_folder(
    nowhere: FakeOutside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    with (
        pytest.raises(Exception, match="isn't ready"),
        own_pool(nowhere.outside(), Silent(), keep=False),
    ):
        pass
    assert list((tmp_path / "temp").iterdir()) == []


def result(exact: bool = True, left: int = 0) -> DemoResult:
    checks = [ModelCheck(name, 2_000_000, 8, exact, SideBySide(80.0, 82.0)) for name in ("a", "b")]
    stay = Stay("ei-1", "L2", Checks(checks[0], checks[1], 96, 900.0), 300.0, 40.0)
    return DemoResult(stay, 1500.0, 21.346, LeftBehind(left, left))


def test_the_result_for_programs() -> None:
    data = result().data()
    assert data["bit_exact"] is True
    assert (data["answers"], data["local_ms"], data["remote_ms"]) == (16, 80.0, 82.0)
    assert data["left_behind"] == {"processes": 0, "files": 0}
    assert data["seconds"] == 21.35


def test_the_result_for_people() -> None:
    lines = result(exact=False).lines()
    assert lines[1] == "a       2.0 MB   8         NO          80.00 ms   82.00 ms (1.02 ×)"
    assert lines[-1] == "Whole demo:   21.3 s"
