from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from eais.errors import InputRejected, ModelRejected, make_error
from eais.rpc.v1 import value_pb2, worker_pb2
from eais.testing.values import decode_value, encode_value
from eais.transport.messages import MAX_VALUES
from eais.transport.parts import RunPart
from eais.transport.reading import ToWorkerReader
from eais.transport.writing import to_client
from eais.value import Deferred, RawTensor
from eais_server.devices.driver import RunSettings
from eais_server.testing.runtime import FakeSession
from eais_server.worker.execution import (
    MAX_ANSWER_BYTES,
    MAX_ENTRIES,
    Execution,
    Result,
    announced,
)

BFLOAT16 = value_pb2.ElementType.BFLOAT16


def run_of(**feed: Any) -> worker_pb2.Run:
    deferred = Deferred()
    inputs = [
        value_pb2.NamedValue(name=name, value=encode_value(value, deferred))
        for name, value in feed.items()
    ]
    assert not deferred.buffers
    return worker_pb2.Run(call_id=5, inputs=inputs)


def part(run: worker_pb2.Run) -> RunPart:
    """The call as it is read from the wire."""
    (found,) = ToWorkerReader().read(worker_pb2.ToWorker(runs=[run]).SerializeToString()).runs
    return found


def ran(session: FakeSession, run: worker_pb2.Run, *buffers: bytearray) -> Result:
    ticks = itertools.count(1000, 10)
    prepared = session.prepare(RunSettings())
    return Execution(lambda: next(ticks)).run(part(run), buffers, prepared, queue_ns=7)


def sent(result: Result) -> worker_pb2.Answer:
    """The answer as a stock client reads it."""
    (found,) = worker_pb2.ToClient.FromString(b"".join(to_client([result.answer]))).answers
    return found


def giving(*outputs: Any) -> FakeSession:
    return FakeSession(lambda feed: list(outputs))


def reason(result: Result) -> str:
    answer = sent(result)
    assert not answer.outputs
    assert not result.answer.deferred.buffers
    assert (answer.call_id, answer.error.reason) == (5, result.reason)
    return result.reason


X = np.arange(3, dtype=np.float32)


def test_what_nobody_waits_for_any_more_is_not_run() -> None:
    session = FakeSession()
    prepared = session.prepare(RunSettings())
    result = Execution(lambda: 500).run(part(run_of(x=X)), (), prepared, queue_ns=7, ends_ns=500)
    assert reason(result) == "DEADLINE_EXCEEDED"
    assert (session.runs, result.compute_ns) == (0, 0)


def test_an_answer_has_its_outputs_and_its_account() -> None:
    run = run_of(x=X)
    result = ran(FakeSession(), run)
    answer = sent(result)
    assert decode_value(answer.outputs[0], iter(())).tolist() == X.tolist()
    assert (answer.call_id, answer.account.queue_ns, answer.account.compute_ns) == (5, 7, 10)
    assert (answer.account.batch_size, result.compute_ns) == (1, 10)
    assert answer.account.input_bytes == run.ByteSize()
    assert answer.account.output_bytes >= X.nbytes


def test_a_failed_run_costs_what_it_took() -> None:
    session = FakeSession()
    session.fail_next(make_error("INPUT_RANK", "one too many"))
    result = ran(session, run_of(x=X))
    assert reason(result) == "INPUT_RANK"
    assert result.compute_ns == 10


def test_large_outputs_are_deferred() -> None:
    large = np.zeros(1 << 20, np.uint8)
    result = ran(giving(large, X), run_of(x=X))
    answer = sent(result)
    assert [o.tensor.deferred_bytes for o in answer.outputs] == [1 << 20, 0]
    assert len(result.answer.deferred.buffers) == 1
    assert answer.account.output_bytes > large.nbytes + X.nbytes


def test_many_middling_outputs_do_not_make_a_message_too_large() -> None:
    outputs = [np.zeros(200_000, np.uint8) for _ in range(100)]
    result = ran(giving(outputs, *outputs), run_of(x=X))
    assert not result.reason
    assert len(b"".join(result.answer.parts)) == result.answer.size < MAX_ANSWER_BYTES


@pytest.mark.parametrize(
    ("outputs", "wanted"),
    [
        ([object()], "OUTPUT_UNSUPPORTED"),
        ([np.array(["x" * (MAX_ANSWER_BYTES + 1)], dtype=object)], "OUTPUT_TOO_LARGE"),
    ],
)
def test_outputs_that_can_not_be_sent(outputs: list[Any], wanted: str) -> None:
    assert reason(ran(giving(*outputs), run_of(x=X))) == wanted


def test_an_input_that_is_there_twice_is_refused() -> None:
    run = run_of(x=X)
    run.inputs.append(run.inputs[0])
    session = FakeSession()
    assert reason(ran(session, run)) == "INPUT_DUPLICATE"
    assert session.runs == 0


def test_memory_that_is_not_there_is_the_callers_to_know() -> None:
    session = FakeSession()
    session.fail_next(MemoryError())
    assert reason(ran(session, run_of(x=X))) == "RUN_MEMORY"


def test_a_bug_is_answered_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    session = FakeSession()
    session.fail_next(KeyError("/secret/path"))
    with caplog.at_level(logging.ERROR):
        result = ran(session, run_of(x=X))
    assert reason(result) == "BUG"
    assert "secret" not in sent(result).error.message
    assert "/secret/path" in caplog.text


def test_types_that_numpy_lacks_keep_their_type() -> None:
    def answer(feed: Mapping[str, Any]) -> list[Any]:
        assert isinstance(feed["x"], RawTensor)
        return [RawTensor(BFLOAT16, feed["x"].bits)]

    bits = value_pb2.Tensor(type=BFLOAT16, dims=[2], raw=b"\x80\x3f\x00\xc0")
    run = run_of()
    run.inputs.add(name="x").value.tensor.CopyFrom(bits)
    result = ran(FakeSession(answer), run)
    assert sent(result).outputs[0].tensor == bits


def in_sequences(count: int) -> worker_pb2.Run:
    """Two inputs, each a sequence of sequences of nothing, `count` values in all."""
    inner = value_pb2.Value(sequence=value_pb2.Sequence(values=[value_pb2.Value()] * 9))
    half = count // 2 - 1
    values = [inner] * (half // 10) + [value_pb2.Value()] * (half % 10)
    value = value_pb2.Value(sequence=value_pb2.Sequence(values=values))
    return worker_pb2.Run(inputs=[value_pb2.NamedValue(value=value)] * 2)


@pytest.mark.parametrize(
    "run_of_so_many",
    [lambda n: worker_pb2.Run(inputs=[value_pb2.NamedValue()] * n), in_sequences],
)
def test_a_call_has_so_many_values_and_no_more(
    run_of_so_many: Callable[[int], worker_pb2.Run],
) -> None:
    assert announced(part(run_of_so_many(MAX_VALUES))) == ()
    with pytest.raises(InputRejected) as caught:
        announced(part(run_of_so_many(MAX_VALUES + 2)))
    assert caught.value.reason == "INPUT_SIZE"


def test_a_call_has_so_many_options_and_no_more() -> None:
    entries = {str(number): "" for number in range(MAX_ENTRIES)}
    assert announced(part(worker_pb2.Run(options={"config_entries": entries}))) == ()
    more = worker_pb2.Run(options={"config_entries": entries | {"more": ""}})
    with pytest.raises(ModelRejected) as caught:
        announced(part(more))
    assert caught.value.reason == "OPTION_REFUSED"


def test_what_is_announced_is_what_the_dims_need() -> None:
    run = run_of(x=X)
    tensor = run.inputs[0].value.tensor
    assert announced(part(run)) == ()
    tensor.raw, tensor.deferred_bytes = b"", 12
    assert announced(part(run)) == (12,)
    tensor.deferred_bytes = 13
    with pytest.raises(Exception, match="INPUT_SIZE"):
        announced(part(run))


def test_deferred_inputs_are_taken_in_order() -> None:
    run = run_of(x=X, y=X)
    for named in run.inputs:
        named.value.tensor.raw, named.value.tensor.deferred_bytes = b"", 12
    got: dict[str, Any] = {}

    def answer(feed: Mapping[str, Any]) -> list[Any]:
        got.update(feed)
        return []

    ran(FakeSession(answer), run, bytearray(X.tobytes()), bytearray((X + 1).tobytes()))
    assert got["x"].tolist() == X.tolist()
    assert got["y"].tolist() == (X + 1).tolist()
