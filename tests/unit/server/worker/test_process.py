"""A real worker process over a real control socket, serving real mutual TLS."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime as ort
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from onnx import TensorProto, helper

from eais.channel import PIECE_BYTES
from eais.errors import EaisError, ModelRejected
from eais.identity import Identity
from eais.rpc.hello import hello
from eais.rpc.v1 import common_pb2, listener_pb2, supervision_pb2, worker_pb2
from eais_pool.authority import Authority
from tests.unit.server.runtime import models
from tests.unit.server.worker.child import (
    EPOCH,
    INSTANCE,
    POOL,
    TENANT,
    WAIT_S,
    ClientStream,
    WorkerChild,
    worker_child,
)

X = np.arange(6, dtype=np.float32).reshape(3, 2)
ONES = {"x": np.ones(2, np.float32)}


def local_run(data: bytes, feed: dict[str, Any]) -> list[Any]:
    """What onnxruntime answers here, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return list(
        ort.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, feed)
    )


@contextlib.contextmanager
def serving(root: Path, *flags: str, **adoption: Any) -> Iterator[WorkerChild]:
    """A worker that serves."""
    with worker_child(root, *flags) as child:
        child.heard("spare")
        assert not child.adopt(**adoption).HasField("error")
        child.serve()
        yield child


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerChild]:
    """One worker for the tests that don't end it."""
    # Who else uses this machine may make a run last; these tests are not about that.
    with serving(tmp_path_factory.mktemp("worker"), threads=2, queue_limit_ms=60_000) as child:
        yield child


@pytest.fixture
def client(worker: WorkerChild) -> Iterator[ClientStream]:
    """A stream that has said Hello."""
    with worker.stream() as stream:
        stream.greet()
        yield stream


# answers


def test_hello_says_the_incarnation(worker: WorkerChild) -> None:
    with worker.stream() as stream:
        assert stream.greet().incarnation == 3


@pytest.mark.parametrize("from_path", [True, False])
def test_a_small_model_answers(worker: WorkerChild, client: ClientStream, from_path: bool) -> None:
    data = models.dataset("mul_1")
    session = worker.load(data, from_path=from_path)
    (got,), (want,) = client.run(session, {"X": X}), local_run(data, {"X": X})
    assert got.tobytes() == want.tobytes()


def test_maps_in_lists_come_back(worker: WorkerChild, client: ClientStream) -> None:
    data = models.dataset("logreg_iris")
    feed = {"float_input": X}
    labels, maps = client.run(worker.load(data), feed)
    want_labels, want_maps = local_run(data, feed)
    assert labels.tolist() == want_labels.tolist()
    assert maps == want_maps


def test_outputs_are_given_in_the_order_asked_for(
    worker: WorkerChild, client: ClientStream
) -> None:
    session = worker.ask_to_load(models.dataset("logreg_iris"))
    label, maps = (output.name for output in worker.heard_loaded(session).outputs)
    feed = {"float_input": X}
    both = client.run(session, feed, outputs=[maps, label])
    assert (type(both[0][0]), both[1].dtype) == (dict, np.int64)
    (one,) = client.run(session, feed, outputs=[maps])
    assert one == both[0]


def test_a_real_network_is_bit_exact(worker: WorkerChild, client: ClientStream) -> None:
    """Its inputs and outputs are large enough to come in pieces."""
    data = (models.LIGHT / "light_resnet50.onnx").read_bytes()
    x = np.random.default_rng(1).standard_normal((1, 3, 224, 224), np.float32)
    feed = {ort.InferenceSession(data).get_inputs()[0].name: x}
    (got,), (want,) = client.run(worker.load(data), feed), local_run(data, feed)
    assert got.tobytes() == want.tobytes()


def test_strings_and_large_tensors_go_both_ways(worker: WorkerChild, client: ClientStream) -> None:
    def identity(kind: int) -> bytes:
        node = helper.make_node("Identity", ["x"], ["y"])
        return models.model(
            node,
            inputs=[models.info("x", kind, ["n"])],
            outputs=[models.info("y", kind, ["n"])],
        )

    texts = np.array(["", "a\0b", "é" * 1000], dtype=object)
    session = worker.load(identity(TensorProto.STRING))
    assert client.run(session, {"x": texts})[0].tolist() == texts.tolist()
    large = np.arange(3 * PIECE_BYTES // 8 + 5, dtype=np.int64)
    session = worker.load(identity(TensorProto.INT64))
    assert client.run(session, {"x": large})[0].tobytes() == large.tobytes()


def test_many_calls_at_once_get_their_own_answers(
    worker: WorkerChild, client: ClientStream
) -> None:
    session = worker.load(models.dataset("mul_1"))
    calls = [(k, client.begin(session, {"X": X + k})) for k in range(200)]
    for k, call_id in reversed(calls):
        (got,) = client.outputs(call_id)
        assert got.tolist() == ((X + k) * np.array([[1, 2], [3, 4], [5, 6]])).tolist()


def test_each_answer_says_what_it_cost(worker: WorkerChild, client: ClientStream) -> None:
    session = worker.load(models.dataset("mul_1"))
    account = client.answer(client.begin(session, {"X": X})).account
    assert account.batch_size == 1
    assert account.compute_ns > 0
    failed = client.answer(client.begin(session, {"X": X[0]})).account
    assert failed.batch_size == 1


def test_counters_come_by_heartbeat(tmp_path: Path) -> None:
    with serving(tmp_path) as child, child.stream() as stream:
        stream.greet()
        session = child.load(models.dataset("mul_1"))
        stream.run(session, {"X": X})
        stream.run(session, {"X": X})
        stream.failure(session, {"X": X[0]})
        child.tell(drain=supervision_pb2.Drain(grace_ms=10_000))
        with pytest.raises(EOFError):
            child.heard("nothing")
        last = child.heartbeats[-1]
        assert (last.requests, last.in_flight) == (2, 0)
        assert last.bytes_in > 2 * X.nbytes
        assert last.bytes_out > 2 * X.nbytes
        assert last.busy_ns > 0


def test_the_external_data_of_a_model_is_read(worker: WorkerChild, client: ClientStream) -> None:
    w = np.array([10, 20], np.float32).tobytes()
    for from_path in (True, False):
        session = worker.load(
            models.external("d/w.bin"), external={"d/w.bin": w}, from_path=from_path
        )
        assert client.run(session, ONES)[0].tolist() == [11, 21]


# who may call, and which instance


def test_another_tenant_finds_nothing_here(worker: WorkerChild) -> None:
    session = worker.load(models.relu())
    with worker.stream(worker.frontend("other")) as stream, pytest.raises(EaisError) as not_yours:
        stream.greet()
    with worker.stream() as stream:
        stream.greet()
        not_there = stream.failure(session, ONES, instance="ei-other")
    assert (not_yours.value.reason, not_there.reason) == ("NOT_FOUND", "NOT_FOUND")
    assert not_yours.value.message == not_there.message


@pytest.mark.parametrize(
    "identity", [Identity.operator(POOL, "root"), Identity.listener(POOL, "host")]
)
def test_only_front_ends_may_call(worker: WorkerChild, identity: Identity) -> None:
    bundle = worker.authority.bundle(identity, datetime.now(UTC))
    with worker.stream(bundle) as stream, pytest.raises(EaisError) as caught:
        stream.greet()
    assert caught.value.reason == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"epoch": EPOCH - 1}, "STALE_EPOCH"),
        ({"epoch": 0}, "STALE_EPOCH"),
        ({"epoch": EPOCH + 1}, "DRAINING"),
        ({"instance": ""}, "NOT_FOUND"),
    ],
)
def test_every_call_is_checked(
    worker: WorkerChild, client: ClientStream, fields: dict[str, Any], reason: str
) -> None:
    session = worker.load(models.relu())
    assert client.failure(session, ONES, **fields).reason == reason
    assert client.run(session, ONES)[0].tolist() == [1, 1]


def test_a_session_that_is_not_open_is_said_so(client: ClientStream) -> None:
    assert client.failure("ff" * 16, ONES).reason == "SESSION_UNKNOWN"


# health


def health(stream: ClientStream, service: str = "") -> Any:
    """The status that a stock client is told, or the code that it is refused with."""
    stub = health_pb2_grpc.HealthStub(stream.channel)
    try:
        return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=WAIT_S).status
    except grpc.RpcError as error:
        return error.code()


def test_a_worker_that_answers_its_canary_is_ready_to_its_own_tenant(worker: WorkerChild) -> None:
    with worker.stream() as stream:
        stub = health_pb2_grpc.HealthStub(stream.channel)
        told = (reply.status for reply in stub.Watch(health_pb2.HealthCheckRequest()))
        assert health_pb2.HealthCheckResponse.SERVING in told
        assert health(stream, "eais.rpc.v1.Worker") == health_pb2.HealthCheckResponse.SERVING
        assert health(stream, "eais.rpc.v1.Pool") is grpc.StatusCode.NOT_FOUND
    with worker.stream(worker.frontend("other")) as stream:
        assert health(stream) is grpc.StatusCode.NOT_FOUND
    operator = worker.authority.bundle(Identity.operator(POOL, "root"), datetime.now(UTC))
    with worker.stream(operator) as stream:
        assert health(stream) is grpc.StatusCode.PERMISSION_DENIED


def test_a_worker_that_does_not_serve_yet_is_not_ready_and_the_canary_ages(tmp_path: Path) -> None:
    with worker_child(tmp_path) as child:
        child.heard("spare")
        child.adopt()
        with child.stream() as stream:
            assert health(stream) == health_pb2.HealthCheckResponse.NOT_SERVING
            child.load(models.relu())
            assert {beat.canary_age_ms for beat in child.heartbeats} <= {0}
            child.serve()
            while not (child.heartbeats and child.heartbeats[-1].canary_age_ms):
                child.load(models.relu())
            assert health(stream) == health_pb2.HealthCheckResponse.SERVING


# metrics


def test_a_worker_shows_what_it_counted_on_loopback(tmp_path: Path) -> None:
    with worker_child(tmp_path) as child:
        child.heard("spare")
        port = child.adopt().metrics_port

        def get(path: str) -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=WAIT_S) as found:
                return str(found.read().decode())

        with pytest.raises(urllib.error.HTTPError) as unready:
            get("/readyz")
        with unready.value as answer:
            assert (answer.code, answer.read()) == (503, b"it doesn't serve yet\n")
        child.serve()
        with child.stream() as stream:
            stream.greet()
            session = child.load(models.relu())
            stream.run(session, ONES)
            stream.failure("ff" * 16, ONES)
            lines = get("/metrics").splitlines()
        assert 'eais_worker_calls_total{reason="OK"} 1.0' in lines
        assert 'eais_worker_calls_total{reason="SESSION_UNKNOWN"} 1.0' in lines
        assert "eais_worker_call_seconds_count 1.0" in lines
        assert "eais_worker_streams 1.0" in lines
        assert any(line.startswith("eais_worker_busy_seconds_total ") for line in lines)
        assert get("/readyz") == "ok\n"


# the stream's own rules


def refused(stream: ClientStream, **message: Any) -> str:
    stream.send(**message)
    with pytest.raises(EaisError) as caught:
        stream.answer(0)
    return caught.value.reason


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ({"runs": [worker_pb2.Run(call_id=1)]}, "MALFORMED_MESSAGE"),
        ({"hello": hello("x"), "runs": [worker_pb2.Run(call_id=1)]}, "MALFORMED_MESSAGE"),
        ({"hello": common_pb2.Hello(version=99)}, "VERSION_UNSUPPORTED"),
    ],
)
def test_hello_comes_first_alone_and_of_a_known_version(
    worker: WorkerChild, first: dict[str, Any], reason: str
) -> None:
    with worker.stream() as stream:
        assert refused(stream, **first) == reason


def test_hello_comes_once(client: ClientStream) -> None:
    assert refused(client, hello=hello("again")) == "MALFORMED_MESSAGE"


def test_an_id_in_flight_is_refused(worker: WorkerChild, client: ClientStream) -> None:
    session = worker.load(models.endless())
    client.begin(session, ONES, call_id=77)
    assert client.failure(session, ONES, call_id=77).reason == "DUPLICATE_ID"
    client.send(cancels=[worker_pb2.Cancel(call_id=77)])
    with pytest.raises(EaisError) as caught:
        client.outputs(77)
    assert caught.value.reason == "CANCELLED"


def test_a_piece_out_of_place_ends_its_call_alone(
    worker: WorkerChild, client: ClientStream
) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    data = models.model(
        node, inputs=[models.info("x", dims=["n"])], outputs=[models.info("y", dims=["n"])]
    )
    session = worker.load(data)
    feed = {"x": np.ones(PIECE_BYTES, np.float32)}
    gap = client.begin(session, feed, wait_with=lambda piece: piece.offset != PIECE_BYTES)
    whole = client.begin(session, feed)
    with pytest.raises(EaisError) as caught:
        client.outputs(gap)
    assert caught.value.reason == "CHUNK_GAP"
    assert client.outputs(whole)[0].tobytes() == feed["x"].tobytes()


def test_a_lie_about_a_size_is_refused(worker: WorkerChild, client: ClientStream) -> None:
    session = worker.load(models.relu())
    tensor = models_tensor(dims=[1 << 40], deferred_bytes=8)
    run = worker_pb2.Run(
        call_id=99, instance=INSTANCE, epoch=EPOCH, session=session, inputs=[tensor]
    )
    client.send(runs=[run])
    assert client.answer(99).error.reason == "INPUT_SIZE"


def test_an_input_given_twice_is_refused(worker: WorkerChild, client: ClientStream) -> None:
    session = worker.load(models.relu())
    tensor = models_tensor(dims=[2], raw=bytes(8))
    run = worker_pb2.Run(
        call_id=99, instance=INSTANCE, epoch=EPOCH, session=session, inputs=[tensor, tensor]
    )
    client.send(runs=[run])
    assert client.answer(99).error.reason == "INPUT_DUPLICATE"


def models_tensor(**fields: Any) -> Any:
    """An input x of float32, as it goes onto the wire."""
    from eais.rpc.v1 import value_pb2

    tensor = value_pb2.Tensor(type=value_pb2.ElementType.FLOAT, **fields)
    return value_pb2.NamedValue(name="x", value=value_pb2.Value(tensor=tensor))


def test_a_stream_that_is_half_closed_still_gets_its_answers(worker: WorkerChild) -> None:
    session = worker.load(models.relu())
    with worker.stream() as stream:
        stream.greet()
        call_id = stream.begin(session, ONES)
        stream.finish()
        assert stream.outputs(call_id)[0].tolist() == [1, 1]
        assert stream.receive() is None


def test_sessions_in_use_are_told_whenever_that_changes(worker: WorkerChild) -> None:
    with worker.stream() as one, worker.stream() as other:
        for stream in (one, other):
            stream.greet()
            stream.send(hold=["s"])
            if stream is one:
                assert worker.heard("held").sessions == ["s"]
        other.send(hold=["t"])
        assert list(worker.heard("held").sessions) == ["s", "t"]
        other.send(release=["t"])
        assert worker.heard("held").sessions == ["s"]
        one.close()
        other.close()
        assert list(worker.heard("held").sessions) == []


# mistakes, in onnxruntime's words


def in_process(data: bytes, feed: dict[str, Any]) -> Exception:
    try:
        local_run(data, feed)
    except Exception as error:  # noqa: BLE001 - onnxruntime's classes have no base of their own
        return error
    raise AssertionError("it ran")


@pytest.mark.parametrize(
    ("feed", "reason"),
    [
        ({"X": X.astype(np.float64)}, "INPUT_DTYPE"),
        ({"X": X[0]}, "INPUT_RANK"),
        ({"X": X.T}, "INPUT_SHAPE"),
        ({"X": X, "Z": X}, "INPUT_UNKNOWN"),
    ],
)
def test_a_callers_mistakes_have_onnxruntimes_words(
    worker: WorkerChild, client: ClientStream, feed: dict[str, Any], reason: str
) -> None:
    data = models.dataset("mul_1")
    error, want = client.failure(worker.load(data), feed), in_process(data, feed)
    assert (error.reason, error.message) == (reason, str(want))
    assert error.metadata["onnxruntime_class"] == type(want).__name__


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "MODEL_PARSE"),
        (b"garbage bytes", "MODEL_PARSE"),
        (models.dataset("mul_1")[:-20], "MODEL_PARSE"),
        (models.relu(opset=99), "OPSET_UNSUPPORTED"),
        (models.one_op("Nope", "foo.bar"), "OP_REFUSED"),
    ],
    ids=["empty", "garbage", "truncated", "future opset", "unknown domain"],
)
@pytest.mark.parametrize("from_path", [True, False])
def test_models_that_are_none_have_onnxruntimes_words_and_no_path(
    worker: WorkerChild, tmp_path: Path, data: bytes, reason: str, from_path: bool
) -> None:
    with pytest.raises(ModelRejected) as caught:
        worker.load(data, from_path=from_path)
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(Exception) as want:  # noqa: PT011 - whatever onnxruntime raises
        ort.InferenceSession(str(path) if from_path else data)
    error = caught.value
    assert error.reason == reason
    assert error.message.replace("{model}", str(path)) == str(want.value)
    assert error.metadata["onnxruntime_class"] == want.type.__name__
    assert str(worker.root) not in error.message


def test_a_foreign_file_and_a_refused_option_are_refused(worker: WorkerChild) -> None:
    with pytest.raises(ModelRejected) as caught:
        worker.load(models.external("../../ca/authority.pem"))
    assert caught.value.reason == "EXTERNAL_DATA_REFUSED"
    options = listener_pb2.SessionOptions(config_entries={"session.optimized_model_filepath": "x"})
    with pytest.raises(ModelRejected) as caught:
        worker.load(models.relu(), options=options)
    assert caught.value.reason == "OPTION_REFUSED"


def test_a_load_that_raises_what_it_may_not_is_said_at_once_without_a_path(
    worker: WorkerChild,
) -> None:
    """Here its folder is gone."""
    load = supervision_pb2.Load(session="lost", spec=listener_pb2.SessionSpec(), folder="nowhere")
    worker.tell(load=load)
    failed = worker.heard("load_failed")
    assert (failed.session, failed.error.reason) == ("lost", "BUG")
    assert "nowhere" not in failed.error.message


def test_an_unloaded_session_is_unknown(worker: WorkerChild, client: ClientStream) -> None:
    session = worker.load(models.relu())
    worker.tell(unload=supervision_pb2.Unload(session=session))
    worker.load(models.relu())
    assert client.failure(session, ONES).reason == "SESSION_UNKNOWN"


# calls that don't end by themselves


def test_a_cancelled_loop_stops_and_the_worker_goes_on(
    worker: WorkerChild, client: ClientStream
) -> None:
    endless, quick = worker.load(models.endless()), worker.load(models.relu())
    calls = [client.begin(endless, ONES) for _ in range(3)]
    client.send(cancels=[worker_pb2.Cancel(call_id=call) for call in calls])
    for call in calls:
        with pytest.raises(EaisError) as caught:
            client.outputs(call)
        assert caught.value.reason == "CANCELLED"
    assert client.run(quick, ONES)[0].tolist() == [1, 1]


def test_a_deadline_ends_a_call_that_runs_and_one_that_waits(
    worker: WorkerChild, client: ClientStream
) -> None:
    endless = worker.load(models.endless())
    running = [client.begin(endless, ONES, timeout_us=200_000) for _ in range(2)]
    waiting = client.begin(endless, ONES, timeout_us=1_000)
    for call in (waiting, *running):
        with pytest.raises(EaisError) as caught:
            client.outputs(call)
        assert caught.value.reason == "DEADLINE_EXCEEDED"


def test_a_client_that_goes_away_leaves_nothing_running(
    worker: WorkerChild, client: ClientStream
) -> None:
    endless, quick = worker.load(models.endless()), worker.load(models.relu())
    with worker.stream() as other:
        other.greet()
        for _ in range(5):
            other.begin(endless, ONES)
        refused(other, hello=hello("again"))  # read after the calls; it ends the stream
    assert client.run(quick, ONES)[0].tolist() == [1, 1]


def test_the_instances_time_out_holds_without_a_deadline(tmp_path: Path) -> None:
    with serving(tmp_path, run_timeout_s=1) as child, child.stream() as stream:
        stream.greet()
        error = stream.failure(child.load(models.endless()), ONES)
        assert error.reason == "RUN_TIMEOUT"
        assert error.metadata == {"limit_s": "1"}


def test_calls_and_bytes_in_flight_are_bounded_as_the_listener_says(tmp_path: Path) -> None:
    with serving(tmp_path, calls_limit=2, bytes_limit=1 << 20) as child, child.stream() as stream:
        stream.greet()
        endless, quick = child.load(models.endless()), child.load(models.relu())
        too_many = stream.failure(quick, {"x": np.ones(1 << 19, np.float32)})
        assert (too_many.reason, too_many.metadata) == ("INPUT_SIZE", {})
        for _ in range(2):
            stream.begin(endless, ONES)
        busy = stream.failure(quick, ONES)
        assert busy.reason == "BUSY"
        assert int(busy.metadata["push_back_ms"]) > 0


# the worker's own end


def test_a_model_that_crashes_kills_this_worker_alone(tmp_path: Path, worker: WorkerChild) -> None:
    with serving(tmp_path) as child:
        child.ask_to_load(models.depth_to_space_2_32())
        assert child.exit_code() == -signal.SIGFPE
    with worker.stream() as stream:
        stream.greet()
        assert stream.run(worker.load(models.relu()), ONES)[0].tolist() == [1, 1]


def test_a_models_appetite_is_refused_and_the_worker_goes_on(tmp_path: Path) -> None:
    """Four GiB, as an input asks for and as a constant of the model does."""
    with serving(tmp_path, f"--data-limit={3 << 30}") as child, child.stream() as stream:
        stream.greet()
        session = child.load(models.bomb())
        gib = np.array([1 << 30], np.int64)
        assert stream.failure(session, {"n": gib}).reason == "RUN_MEMORY"
        n = helper.make_tensor("n", TensorProto.INT64, [1], [1 << 30])
        node = helper.make_node("ConstantOfShape", ["n"], ["y"])
        fixed = models.model(
            node, inputs=[], outputs=[models.info("y", dims=["n"])], initializers=(n,)
        )
        assert stream.failure(child.load(fixed), {}).reason == "RUN_MEMORY"
        assert stream.run(child.load(models.relu()), ONES)[0].tolist() == [1, 1]


def test_the_command_line_says_whose_it_is(tmp_path: Path) -> None:
    with worker_child(tmp_path) as child:
        command = Path(f"/proc/{child.process.pid}/cmdline")
        child.heard("spare")
        assert command.read_bytes().startswith(b"eais-worker (spare)")
        child.adopt()
        assert command.read_bytes().startswith(f"eais-worker {INSTANCE}".encode())


def test_a_share_runs_on_its_cores(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    with worker_child(tmp_path) as child:
        child.heard("spare")
        child.adopt(cores=[core])
        assert os.sched_getaffinity(child.process.pid) == {core}


def test_a_drain_finishes_what_runs_refuses_the_rest_and_exits(tmp_path: Path) -> None:
    with serving(tmp_path, threads=2) as child, child.stream() as stream:
        stream.greet()
        session, quick = child.load(models.endless()), child.load(models.relu())
        running = stream.begin(session, ONES, timeout_us=1_000_000)
        stream.run(quick, ONES)  # read after the other one, so that one runs now
        child.tell(drain=supervision_pb2.Drain(grace_ms=30_000))
        message = stream.receive()
        assert message is not None
        assert message.draining
        assert stream.failure(session, ONES).reason == "DRAINING"
        with pytest.raises(EaisError) as caught:
            stream.outputs(running)
        assert caught.value.reason == "DEADLINE_EXCEEDED"
        assert stream.receive() is None
        assert child.exit_code() == 0


def test_a_drain_ends_at_its_grace_whatever_runs(tmp_path: Path) -> None:
    with serving(tmp_path, threads=2) as child, child.stream() as stream:
        stream.greet()
        session, quick = child.load(models.endless()), child.load(models.relu())
        stream.begin(session, ONES)
        stream.run(quick, ONES)
        child.tell(drain=supervision_pb2.Drain(grace_ms=200))
        assert child.exit_code() == 0


def test_a_spare_that_is_drained_exits(tmp_path: Path) -> None:
    with worker_child(tmp_path) as child:
        child.heard("spare")
        child.tell(drain=supervision_pb2.Drain(grace_ms=1000))
        assert child.exit_code() == 0


def test_a_worker_whose_listener_is_gone_ends(tmp_path: Path) -> None:
    with serving(tmp_path) as child:
        child.control.close()
        assert child.exit_code() == 0


def test_messages_out_of_order_end_the_worker(tmp_path: Path) -> None:
    with worker_child(tmp_path) as child:
        child.heard("spare")
        child.tell(serve=supervision_pb2.Serve())
        assert child.exit_code() == 1
        assert "no 'serve' in state SPARE" in child.log


def test_clients_wait_until_the_worker_serves(tmp_path: Path) -> None:
    with worker_child(tmp_path) as child:
        child.heard("spare")
        child.adopt()
        with child.stream() as stream:
            greeted = threading.Event()

            def greet() -> None:
                stream.greet()
                greeted.set()

            thread = threading.Thread(target=greet)
            thread.start()
            session = child.load(models.relu())
            assert not greeted.is_set()
            child.serve()
            thread.join(WAIT_S)
            assert greeted.is_set()
            assert stream.run(session, ONES)[0].tolist() == [1, 1]


def test_a_port_that_is_taken_is_said_so(worker: WorkerChild, tmp_path: Path) -> None:
    with worker_child(tmp_path) as child:
        child.heard("spare")
        assert child.adopt(port=worker.port).error.reason == "PORT"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"drivers": ["abacus"]}, "DEVICE_LOST"),
        ({"leaf": supervision_pb2.Leaf(key_pem=b"x")}, "CERT_UNREADABLE"),
        ({"transport": "quic"}, "ARGUMENT"),
    ],
)
def test_an_adoption_that_can_not_be_is_said_so(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with worker_child(tmp_path) as child:
        child.heard("spare")
        assert child.adopt(**changes).error.reason == reason


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
def test_a_worker_serves_by_what_the_listener_says(tmp_path: Path, transport: str) -> None:
    with serving(tmp_path, transport=transport) as child, child.stream() as stream:
        stream.greet()
        session = child.load(models.relu())
        assert stream.run(session, ONES)[0].tolist() == [1, 1]
        child.tell(leaf=child.leaf())
        with child.stream() as later:
            later.greet()
            assert later.run(session, ONES)[0].tolist() == [1, 1]
        large = np.arange(3 << 20, dtype=np.int64)
        many = [models.info(name, TensorProto.INT64, ["n"]) for name in "xy"]
        node = helper.make_node("Identity", ["x"], ["y"])
        session = child.load(models.model(node, inputs=many[:1], outputs=many[1:]))
        assert stream.run(session, {"x": large})[0].tobytes() == large.tobytes()


def test_a_restarted_worker_takes_the_same_port_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with serving(tmp_path / "one") as first, first.stream() as stream:
        stream.greet()
        port = first.port
        first.process.kill()
        first.exit_code()
        with serving(tmp_path / "two", port=port) as second:
            assert second.port == port


def test_a_new_leaf_serves_the_next_handshake(tmp_path: Path) -> None:
    with serving(tmp_path) as child:
        child.tell(leaf=supervision_pb2.Leaf(key_pem=b"none"))
        other = Authority.create(tmp_path / "other", POOL, datetime.now(UTC))
        leaf = other.bundle(Identity.worker(POOL, INSTANCE, 1), datetime.now(UTC))
        child.tell(
            leaf=supervision_pb2.Leaf(
                key_pem=leaf.key_pem, leaf_pem=leaf.leaf_pem, ca_pem=leaf.ca_pem
            )
        )
        child.load(models.relu())
        mine = other.bundle(Identity.frontend(POOL, TENANT, "fe"), datetime.now(UTC))
        with child.stream(mine) as stream:
            assert stream.greet().incarnation == 3
        assert "the old leaf is kept" in child.log
