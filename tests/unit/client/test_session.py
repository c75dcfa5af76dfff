"""The drop-in over a network in memory, with onnxruntime behind it and beside it."""

from __future__ import annotations

import gc
import importlib
import signal
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import eais
from eais.errors import DeadlineExceeded, EaisError, InputRejected, UsageError, make_error
from eais.instance import InstanceState
from eais.rpc.v1 import listener_pb2
from eais_client import ort_errors
from eais_client.instances import Address
from eais_client.testing import FakeWire, check_session, fake_frontend, fake_instance
from eais_client.testing.conformance import own_models
from eais_client.testing.fake_tools import FakeTools
from eais_client.testing.fake_wire import LISTENER
from eais_client.wire import Timeout
from tests.unit.client.ort_host import OrtHost

state: Any = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
MUL = own_models()["mul_1"]
ONES = np.ones((3, 2), np.float32)


@pytest.fixture
def host() -> OrtHost:
    return OrtHost()


@pytest.fixture
def wire(host: OrtHost) -> FakeWire:
    return FakeWire(host, fake_instance())


@pytest.fixture
def fakes() -> FakeTools:
    return FakeTools()


class Maker:
    """Makes sessions over one wire."""

    def __init__(self, wire: FakeWire, fakes: FakeTools) -> None:
        self.frontend = fake_frontend(wire, fakes)

    def __call__(self, *args: Any, **more: Any) -> eais.InferenceSession:
        return eais.InferenceSession(*args, frontend=self.frontend, **more)


@pytest.fixture
def make(wire: FakeWire, fakes: FakeTools, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    maker = Maker(wire, fakes)
    yield maker
    maker.frontend.close()


def failed(make: Any) -> EaisError:
    with pytest.raises(EaisError) as caught:
        make()
    return caught.value


def test_it_conforms_to_onnxruntime(make: Maker) -> None:
    check_session(make)


def test_the_oracle_conforms_to_itself() -> None:
    check_session(onnxruntime.InferenceSession)


def test_errors_are_ours_and_onnxruntimes_at_once(make: Maker) -> None:
    session = make(MUL)
    error = failed(lambda: session.run(None, {"X": ONES.astype(np.float64)}))
    assert isinstance(error, InputRejected)
    assert isinstance(error, ort_errors.InvalidArgument)
    assert isinstance(error, state.InvalidArgument)
    assert error.reason == "INPUT_DTYPE"
    assert str(error).startswith("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Unexpected")


def test_the_model_is_named_as_the_caller_did(make: Maker, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"garbage")
    error = failed(lambda: make(bad))
    assert isinstance(error, state.InvalidProtobuf)
    assert error.__suppress_context__  # its user sees one traceback
    assert str(bad) in str(error)


def test_only_what_the_listener_lacks_is_sent(make: Maker, wire: FakeWire) -> None:
    make(MUL)
    make(MUL.read_bytes())
    assert wire.said == ["list", "open", "push from 0", "open", "list", "open"]


def test_a_broken_upload_goes_on_from_where_it_broke(
    make: Maker, wire: FakeWire, tmp_path: Path
) -> None:
    model = tmp_path / "big.onnx"
    model.write_bytes(MUL.read_bytes() + b"\x82\x7d\xfa\xff\x7f" + bytes(0x1FFFFA))
    wire.fail_next("chunk", make_error("HOST_UNREACHABLE", "gone"))
    told: list[tuple[int, int]] = []
    with eais.on_upload(lambda done, total: told.append((done, total))):
        failed_or_not = make(model)
    assert failed_or_not.get_inputs()[0].name == "X"
    pushes = [said for said in wire.said if said.startswith("push")]
    assert pushes == ["push from 0", f"push from {1 << 20}"]
    size = model.stat().st_size
    assert told[0] == (0, size)
    assert told[-1] == (size - (1 << 20), size - (1 << 20))


def test_the_options_travel(make: Maker, host: OrtHost) -> None:
    options = eais.SessionOptions()
    options.graph_optimization_level = eais.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_mode = eais.ExecutionMode.ORT_PARALLEL
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.add_free_dimension_override_by_name("N", 4)
    session = make(MUL, options)
    sent = host.specs[-1].options
    assert (sent.graph_optimization_level, sent.execution_mode) == (0, 1)
    assert (sent.disable_mem_pattern, sent.disable_cpu_mem_arena) == (True, False)
    assert dict(sent.config_entries) == {"session.set_denormal_as_zero": "1"}
    assert dict(sent.free_dimension_overrides_by_name) == {"N": 4}
    assert session.get_session_options() is options
    assert host.specs[-1].from_path


def test_onnxruntimes_own_options_are_read(make: Maker, host: OrtHost) -> None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.disable_prepacking", "1")
    make(MUL, options)
    assert host.specs[-1].options.graph_optimization_level == 1
    assert dict(host.specs[-1].options.config_entries) == {"session.disable_prepacking": "1"}


def test_the_only_bound_instance_is_taken(make: Maker, wire: FakeWire) -> None:
    wire.instances["ei-2"] = fake_instance("ei-2", frontend="another")
    assert make(MUL).run(None, {"X": ONES})
    assert wire.streams[0].sent[0].instance == "ei-1"


def test_several_instances_are_named(make: Maker, wire: FakeWire) -> None:
    wire.instances["ei-2"] = fake_instance("ei-2", state=InstanceState.BOUND)
    error = failed(lambda: make(MUL))
    assert error.reason == "INSTANCE_AMBIGUOUS"
    assert "ei-1, ei-2" in str(error)
    session = make(MUL, provider_options={"instance": "ei-1"})
    session.run(None, {"X": ONES})
    assert wire.streams[0].sent[0].instance == "ei-1"


def test_no_instance_says_how_to_attach_one(make: Maker, wire: FakeWire) -> None:
    wire.instances.clear()
    error = failed(lambda: make(MUL))
    assert error.reason == "NOT_ATTACHED"
    assert "eais attach" in error.hint


def test_the_variable_names_the_instance(
    make: Maker, wire: FakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EAIS_INSTANCE", "ei-9")
    assert failed(lambda: make(MUL)).reason == "NOT_FOUND"
    with make(MUL, provider_options=[{"instance": "ei-1"}]) as session:
        session.run(None, {"X": ONES})


def test_a_stopped_instance_says_so_at_once(make: Maker, wire: FakeWire) -> None:
    session = make(MUL)
    wire.change("ei-1", state=InstanceState.BOUND, listener=None, workers=())
    assert failed(lambda: session.run(None, {"X": ONES})).reason == "INSTANCE_STOPPED"
    assert failed(lambda: make(MUL)).reason == "INSTANCE_STOPPED"


def test_a_detached_instance_says_so_at_once(make: Maker, wire: FakeWire) -> None:
    session = make(MUL)
    wire.change("ei-1", state=InstanceState.BINDABLE, frontend="", listener=None, workers=())
    assert failed(lambda: session.run(None, {"X": ONES})).reason == "DETACHED"


def test_a_session_lives_on_after_a_stop_and_a_start(make: Maker, wire: FakeWire) -> None:
    session = make(MUL)
    was = wire.instances["ei-1"]
    wire.change("ei-1", state=InstanceState.BOUND, listener=None, workers=())
    wire.change("ei-1", state=was.state, listener=was.listener, workers=was.workers, epoch=2)
    assert session.run(None, {"X": ONES})
    assert wire.streams[-1].sent[0].epoch == 2


def test_a_closed_session_says_so(make: Maker) -> None:
    session = make(MUL)
    session.close()
    session.close()
    assert failed(lambda: session.run(None, {"X": ONES})).reason == "SESSION_CLOSED"


def test_equal_sessions_are_held_once_and_released_at_the_last(make: Maker, wire: FakeWire) -> None:
    one, other = make(MUL), make(MUL)
    one.run(None, {"X": ONES})
    stream = wire.streams[0]
    assert len(stream.held) == 1
    one.close()
    assert stream.released == []
    other.run(None, {"X": ONES})
    other.close()
    assert stream.released == stream.held


def test_a_forgotten_session_is_released(make: Maker, wire: FakeWire) -> None:
    done = threading.Event()
    session = make(MUL)
    session.run(None, {"X": ONES})
    del session
    gc.collect()
    make.frontend.callbacks.put(done.set)
    assert done.wait(10)
    assert wire.streams[0].released == wire.streams[0].held


def test_a_worker_that_dies_is_no_matter_of_the_caller(
    make: Maker, wire: FakeWire, fakes: FakeTools
) -> None:
    session = make(MUL)
    fakes.jump()
    session.run(None, {"X": ONES})
    wire.streams[0].broke()
    assert session.run(None, {"X": ONES})
    assert len(wire.streams) == 2


def test_a_call_under_way_moves_to_another_worker(
    host: OrtHost, fakes: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    wire = FakeWire(host, fake_instance(workers=2))
    session = Maker(wire, fakes)(MUL)
    heard: list[Any] = []
    wire.holding = True
    done = threading.Event()

    def callback(*said: Any) -> None:
        heard.extend(said)
        done.set()

    session.run_async(None, {"X": ONES}, callback, 7)
    wire.holding = False
    wire.streams[0].broke()
    fakes.pass_time(0.1)
    assert done.wait(10)
    assert heard[1:] == [7, ""]
    assert [len(stream.sent) for stream in wire.streams[:2]] == [1, 1]


def test_the_deadline_ends_the_call_and_tells_the_worker(make: Maker, wire: FakeWire) -> None:
    session = make(MUL)
    wire.holding = True
    with eais.deadline(0.05, clock=make.frontend.clock), pytest.raises(DeadlineExceeded):
        session.run(None, {"X": ONES})
    stream = wire.streams[0]
    assert stream.cancelled == [stream.sent[0].call_id]
    assert 0 < stream.sent[0].timeout_us <= 50_000


def test_ctrl_c_ends_the_call_and_tells_the_worker(make: Maker, wire: FakeWire) -> None:
    session = make(MUL)
    wire.holding = True

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            session.run(None, {"X": ONES})
    finally:
        signal.signal(signal.SIGALRM, before)
    stream = wire.streams[0]
    assert stream.cancelled == [stream.sent[0].call_id]


def test_the_option_timeout_s_does_not_bound_the_upload(
    make: Maker, wire: FakeWire, fakes: FakeTools
) -> None:
    with eais.on_upload(lambda done, total: fakes.clock.sleep(1.0)):
        session = make(MUL, provider_options={"timeout_s": 0.05})
    session.run(None, {"X": ONES})


def test_the_option_timeout_s_is_a_deadline_for_each_call(make: Maker, wire: FakeWire) -> None:
    session = make(MUL, provider_options={"timeout_s": 0.05})
    session.run(None, {"X": ONES})
    wire.holding = True
    with pytest.raises(DeadlineExceeded):
        session.run(None, {"X": ONES})
    assert failed(lambda: make(MUL, provider_options={"timeout_s": 0})).reason == "ARGUMENT"


def test_terminate_ends_the_runs_that_use_the_options(make: Maker, wire: FakeWire) -> None:
    session = make(MUL)
    options = eais.RunOptions()
    options.terminate = True
    with pytest.raises(state.Fail) as caught:
        session.run(None, {"X": ONES}, options)
    here = onnxruntime.InferenceSession(MUL)
    real = onnxruntime.RunOptions()
    real.terminate = True
    with pytest.raises(state.Fail) as expected:
        here.run(None, {"X": ONES}, real)
    assert str(caught.value) == str(expected.value)
    with pytest.raises(state.Fail):
        session.run(None, {"X": ONES}, real)


def test_a_lost_session_is_opened_again_by_its_digest(make: Maker, wire: FakeWire) -> None:
    session = make(MUL)
    wire.sessions.clear()
    assert session.run(None, {"X": ONES})
    assert wire.said.count("open") == 3


def test_a_store_that_lost_the_model_is_given_it_again(make: Maker, wire: FakeWire) -> None:
    session = make(MUL)
    wire.sessions.clear()
    wire.store.clear()
    assert session.run(None, {"X": ONES})
    assert wire.said.count("push from 0") == 2


def test_a_manager_that_is_away_stops_no_new_session(make: Maker, wire: FakeWire) -> None:
    make(MUL)
    wire.change("ei-1", tolerance="exact")
    wire.fail_next("list", *[make_error("POOL_UNREACHABLE", "away")] * 3)
    assert make(MUL).run(None, {"X": ONES})


def test_what_is_known_stands_in_for_the_manager_only_if_it_helps(
    make: Maker, wire: FakeWire
) -> None:
    make(MUL)
    wire.change("ei-1", state=InstanceState.BINDABLE, frontend="", listener=None)
    for what in ("list", "describe"):
        wire.fail_next(what, *[make_error("POOL_UNREACHABLE", "away")] * 1000)
    for options in (None, {"instance": "ei-1"}):
        error = failed(lambda options=options: make(MUL, provider_options=options))
        assert error.reason == "POOL_UNREACHABLE"


def test_a_manager_that_is_away_for_too_long_is_named(
    make: Maker, wire: FakeWire, fakes: FakeTools
) -> None:
    wire.fail_next("list", *[make_error("POOL_UNREACHABLE", "away")] * 1000)
    assert failed(lambda: make(MUL)).reason == "POOL_UNREACHABLE"
    assert 4 < sum(fakes.clock.slept) <= 5


def test_refusals_of_the_listener_are_passed_on(make: Maker, wire: FakeWire) -> None:
    wire.fail_next("open", make_error("MODEL_TOO_LARGE", "at most 2 GiB"))
    assert failed(lambda: make(MUL)).reason == "MODEL_TOO_LARGE"
    wire.fail_next("open", *[make_error("STORE_UNAVAILABLE", "a moment")] * 2)
    assert make(MUL).run(None, {"X": ONES})


def test_a_newer_epoch_is_learned_from_a_refusal(make: Maker, wire: FakeWire) -> None:
    session = make(MUL)
    wire.instances["ei-1"] = fake_instance(epoch=3)
    assert make(MUL).run(None, {"X": ONES})
    assert session.run(None, {"X": ONES})


def test_a_stranger_at_the_listeners_address_is_named(make: Maker, wire: FakeWire) -> None:
    wire.fail_next("open", make_error("SERVER_UNTRUSTED", "another name"))
    assert failed(lambda: make(MUL)).reason == "SERVER_UNTRUSTED"
    assert wire.said.count("describe") == 1  # it might have been elsewhere by now


class Moves(FakeWire):
    """A wire whose listener has left its address to a stranger."""

    def open(
        self, listener: Address, request: listener_pb2.OpenRequest, timeout_s: Timeout
    ) -> listener_pb2.OpenReply:
        if listener == LISTENER:
            moved = replace(LISTENER, port=LISTENER.port + 1)
            self.instances["ei-1"] = fake_instance(listener=moved)
            raise make_error("SERVER_UNTRUSTED", "another name")
        return super().open(listener, request, timeout_s)


def test_a_listener_that_moved_is_asked_where_it_is_now(host: OrtHost) -> None:
    wire = Moves(host, fake_instance())
    frontend = fake_frontend(wire)
    assert eais.InferenceSession(MUL, frontend=frontend).run(None, {"X": ONES})
    frontend.close()


def test_the_watch_hears_of_load_and_wants(make: Maker, wire: FakeWire) -> None:
    session = make(MUL)
    session.run(None, {"X": ONES})
    (load,) = wire.watches[0].loads()
    assert (load.instance, load.waiting, load.answered) == ("ei-1", 0, 1)
    wire.streams[0].broke()
    wire.fail_next("stream", make_error("HOST_UNREACHABLE", "down"))
    with pytest.raises(EaisError), eais.deadline(0.02, clock=make.frontend.clock):
        session.run(None, {"X": ONES})
    assert wire.watches[0].wanted == ["ei-1"]


def test_strings_too_large_for_a_message_are_refused_here(make: Maker) -> None:
    session = make(MUL)
    huge = np.array([["a" * (9 << 20), "b" * (9 << 20)]], object)
    assert failed(lambda: session.run(None, {"X": huge})).reason == "INPUT_SIZE"


def test_a_provider_that_is_not_there_is_warned_of(make: Maker) -> None:
    with pytest.warns(UserWarning, match="'CUDAExecutionProvider' is not in available"):
        make(MUL, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
    with pytest.warns(UserWarning, match="must be dicts|should be"):
        make(MUL, providers=["CPUExecutionProvider"], provider_options=[{}, {}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(MUL, providers=[("CPUExecutionProvider", {"instance": "ei-1"})])


class LyingHost(OrtHost):
    """Answers what can't be an answer."""

    def run(self, files: Any, inputs: Any, run: Any) -> list[Any]:
        return [[[[[[[[[[["too deep"]]]]]]]]]]]


def test_an_answer_that_cannot_be_read_is_not_the_callers_fault(
    fakes: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EAIS_INSTANCE", raising=False)
    session = Maker(FakeWire(LyingHost(), fake_instance()), fakes)(MUL)
    assert failed(lambda: session.run(None, {"X": ONES})).reason == "BUG"


def test_wrong_arguments_are_type_errors(make: Maker) -> None:
    session = make(MUL)
    for wrong in ("Y", [1], 5):
        with pytest.raises(TypeError):
            session.run(wrong, {"X": ONES})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        session.run(None, {"X": ONES}, 5)
    with pytest.raises(TypeError):
        make(MUL, 5)
    with pytest.raises(AttributeError):
        session.run(None, [ONES])  # type: ignore[arg-type]


def test_a_front_end_of_another_process_is_refused(make: Maker) -> None:
    session = make(MUL)
    make.frontend._forks -= 1
    assert failed(lambda: session.run(None, {"X": ONES})).reason == "FORKED"
    make.frontend._forks += 1


def test_external_data_goes_along(make: Maker, wire: FakeWire, tmp_path: Path) -> None:
    error = failed(lambda: make(_external(tmp_path, "w.bin")))
    assert isinstance(error, state.Fail)
    assert "does not exist" in str(error)
    assert isinstance(failed(lambda: make(_external(tmp_path, "w.bin").read_bytes())), state.Fail)
    for place in ("../w.bin", "/etc/passwd", "a/../../w.bin"):
        error = failed(lambda place=place: make(_external(tmp_path, place)))
        assert error.reason == "EXTERNAL_DATA_REFUSED"
        assert wire.said == []


def test_only_usage_errors_are_the_callers(make: Maker) -> None:
    assert isinstance(failed(lambda: make("/nowhere.onnx")), UsageError)


def _external(folder: Path, location: str) -> Path:
    from onnx import TensorProto, helper

    tensor = TensorProto(name="W", data_type=1, dims=[2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    graph = helper.make_graph([], "g", [], [], [tensor])
    path = folder / "external.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path
