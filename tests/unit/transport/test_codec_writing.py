"""What is written is byte for byte what the generated classes write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eais.errors import InputRejected
from eais.rpc.v1 import common_pb2, worker_pb2
from eais.transport.parts import Buffer, PiecePart
from eais.transport.reading import ToClientReader, ToWorkerReader
from eais.transport.writing import (
    AnswerWriter,
    RunBody,
    RunWriter,
    refusal,
    to_client,
    to_worker,
)
from eais.value import Deferred
from tests.unit.transport.generated import value_message
from tests.unit.transport.values import (
    arrays,
    errors,
    numbers,
    piece_messages,
    small_numbers,
    texts,
    values,
)

LIMITS = st.sampled_from([0, 7, 40, 1 << 20])
#: Of each feed, so that the second is written with what the first one left.
TIMES = 2


def whole(parts: Sequence[Buffer]) -> bytes:
    return b"".join(parts)


def run_message(
    feed: Sequence[tuple[str, Any]], outputs: Sequence[str], deferred: Deferred, **more: Any
) -> worker_pb2.Run:
    run = worker_pb2.Run(instance="ei-1", session="s", outputs=outputs, **more)
    for name, value in feed:
        run.inputs.add(name=name).value.CopyFrom(value_message(value, deferred))
    return run


def pieces_of(deferred: Deferred) -> list[bytes]:
    return [bytes(buffer) for buffer in deferred.buffers]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(texts, values), max_size=3),
    st.lists(texts, max_size=3),
    st.tuples(numbers, numbers, numbers),
    st.tuples(texts, texts),
    LIMITS,
    LIMITS,
)
def test_a_run_is_what_the_classes_write(
    feed: list[tuple[str, Any]],
    outputs: list[str],
    at: tuple[int, int, int],
    trace: tuple[str, str],
    limit: int,
    left: int,
) -> None:
    writer = RunWriter("ei-1", "s")
    for _ in range(TIMES):
        deferred, theirs = Deferred(limit, left), Deferred(limit, left)
        body = writer.body(feed, outputs, {}, "", deferred)
        run = body.run(*at, *trace)
        want = run_message(
            feed,
            outputs,
            theirs,
            call_id=at[0],
            epoch=at[1],
            timeout_us=at[2],
            traceparent=trace[0],
            tracestate=trace[1],
        ).SerializeToString()
        assert whole(run.parts) == want
        assert (run.call_id, run.size) == (at[0], len(want))
        assert pieces_of(deferred) == pieces_of(theirs)
        assert deferred.inline_left == theirs.inline_left
        assert body.deferred is deferred


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(texts, texts, max_size=3), texts)
def test_a_runs_options_are_what_the_classes_write(entries: Mapping[str, str], tag: str) -> None:
    writer = RunWriter("ei-1", "s")
    for _ in range(TIMES):
        run = writer.body([], [], entries, tag, Deferred()).run(1, 2, 3)
        want = run_message([], [], Deferred(), call_id=1, epoch=2, timeout_us=3)
        if entries or tag:
            want.options.tag = tag
            want.options.config_entries.update(entries)
        assert whole(run.parts) == want.SerializeToString(deterministic=True)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(values, max_size=3),
    st.tuples(numbers, numbers, numbers, small_numbers, numbers),
    LIMITS,
    LIMITS,
)
def test_an_answer_is_what_the_classes_write(
    outputs: list[Any], fields: tuple[int, int, int, int, int], limit: int, left: int
) -> None:
    writer = AnswerWriter()
    call_id, queue_ns, compute_ns, batch_size, input_bytes = fields
    for _ in range(TIMES):
        deferred, theirs = Deferred(limit, left), Deferred(limit, left)
        answer = writer.answer(
            call_id, outputs, queue_ns, compute_ns, batch_size, input_bytes, deferred
        )
        want = worker_pb2.Answer(outputs=[value_message(value, theirs) for value in outputs])
        size = want.ByteSize() + sum(map(len, theirs.buffers))
        want.call_id = call_id
        account = worker_pb2.Account(
            queue_ns=queue_ns,
            compute_ns=compute_ns,
            batch_size=batch_size,
            input_bytes=input_bytes,
            output_bytes=size,
        )
        want.account.CopyFrom(account)
        assert whole(answer.parts) == want.SerializeToString()
        assert (answer.call_id, answer.size) == (call_id, want.ByteSize())
        assert answer.deferred is deferred
        assert deferred.inline_left == theirs.inline_left
        assert pieces_of(deferred) == pieces_of(theirs)


@settings(max_examples=50, deadline=None)
@given(numbers, errors, st.tuples(numbers, numbers, small_numbers, numbers))
def test_a_refusal_is_what_the_classes_write(
    call_id: int, error: common_pb2.Error, account: tuple[int, int, int, int]
) -> None:
    answer = refusal(call_id, error, *account)
    want = worker_pb2.Answer(call_id=call_id, error=error)
    if account[2]:
        queue_ns, compute_ns, batch_size, input_bytes = account
        want.account.CopyFrom(
            worker_pb2.Account(
                queue_ns=queue_ns,
                compute_ns=compute_ns,
                batch_size=batch_size,
                input_bytes=input_bytes,
            )
        )
    assert whole(answer.parts) == want.SerializeToString()
    assert answer.size == want.ByteSize()
    assert not answer.deferred.buffers


def part(piece: worker_pb2.Piece) -> PiecePart:
    return PiecePart(piece.call_id, piece.tensor, piece.offset, piece.data)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(arrays(), max_size=3),
    st.lists(piece_messages, max_size=2),
    st.lists(numbers, max_size=2),
    st.lists(texts, max_size=2),
    st.lists(texts, max_size=2),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_a_message_to_a_worker_is_what_the_classes_write(
    feeds: list[Any],
    pieces: list[worker_pb2.Piece],
    cancels: list[int],
    hold: list[str],
    release: list[str],
    greeted: bool,
    wanted: bool,
    begins: bool,
) -> None:
    hello = common_pb2.Hello(version=1, software="a") if greeted else None
    writer = RunWriter("ei-1", "s")
    runs = [writer.body([("x", a)], [], {}, "", Deferred()).run(7, 1, 9) for a in feeds]
    got = whole(
        to_worker(runs, list(map(part, pieces)), cancels, hold, release, hello, wanted, begins)
    )
    want = worker_pb2.ToWorker(
        hello=hello,
        runs=[
            run_message([("x", a)], [], Deferred(), call_id=7, epoch=1, timeout_us=9) for a in feeds
        ],
        pieces=pieces,
        cancels=[worker_pb2.Cancel(call_id=call_id) for call_id in cancels],
        hold=hold,
        release=release,
        ring_wanted=wanted,
        ring_begins=begins,
    )
    assert got == want.SerializeToString()
    parts = ToWorkerReader().read(got)
    assert [bytes(run.inputs[0][1].raw) for run in parts.runs] == [
        a.astype(a.dtype.newbyteorder("<")).tobytes() for a in feeds
    ]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(arrays(), max_size=3),
    st.lists(piece_messages, max_size=2),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_a_message_to_a_client_is_what_the_classes_write(
    outputs: list[Any],
    pieces: list[worker_pb2.Piece],
    greeted: bool,
    draining: bool,
    offered: bool,
    begins: bool,
) -> None:
    hello = common_pb2.HelloReply(version=1, incarnation=3) if greeted else None
    offer = worker_pb2.RingOffer(socket="eais", nonce=b"\x00\x01") if offered else None
    writer = AnswerWriter()
    answers = [writer.answer(7, [a], 1, 2, 1, 9, Deferred()) for a in outputs]
    got = whole(to_client(answers, list(map(part, pieces)), hello, draining, offer, begins))
    want = worker_pb2.ToClient(
        hello=hello,
        answers=[worker_pb2.Answer.FromString(whole(answer.parts)) for answer in answers],
        pieces=pieces,
        draining=draining,
        ring_offer=offer,
        ring_begins=begins,
    )
    assert got == want.SerializeToString()
    assert [answer.compute_ns for answer in ToClientReader().read(got).answers] == [2] * len(
        outputs
    )


def test_nothing_to_say_is_no_message() -> None:
    assert to_worker() == to_client() == []


def body_of(array: Any, deferred: Deferred | None = None) -> RunBody:
    return RunWriter("ei-1", "s").body([("x", array)], [], {}, "", deferred or Deferred())


@pytest.mark.parametrize("rows", [1, 12])
def test_large_arrays_are_given_out_as_they_lie_in_memory(rows: int) -> None:
    array = np.zeros((rows, 5000), np.float32)
    message = to_worker([body_of(array).run(1, 1, 1)])
    views = [buffer for buffer in message if isinstance(buffer, memoryview)]
    assert len(views) == 1
    assert np.shares_memory(np.asarray(views[0]), array)
    assert len(message) == 3


def test_a_deferred_array_is_given_out_as_it_lies_in_memory() -> None:
    array = np.zeros(1 << 20, np.float32)
    deferred = Deferred()
    body = body_of(array, deferred)
    (buffer,) = deferred.buffers
    assert np.shares_memory(np.asarray(buffer), array)
    assert body.size < 64


def test_small_calls_are_one_buffer_however_many_they_are() -> None:
    body = body_of(np.zeros(4, np.float32))
    assert len(to_worker([body.run(number, 1, 1) for number in range(64)])) == 1


def test_a_body_may_be_sent_again_under_other_numbers() -> None:
    body = body_of(np.arange(3))
    reader = ToWorkerReader()
    for call_id, epoch in ((1, 1), (2, 1), (3, 2), (4, 1)):
        (run,) = reader.read(whole(to_worker([body.run(call_id, epoch, 5)]))).runs
        assert (run.call_id, run.epoch, run.timeout_us) == (call_id, epoch, 5)


def test_a_body_says_how_large_its_runs_are() -> None:
    for array in (np.zeros(4), np.zeros(1 << 14), np.zeros(1 << 20)):
        body = body_of(array)
        size = body.run((1 << 64) - 1, (1 << 64) - 1, (1 << 64) - 1).size
        assert 0 < size - body.size < 64


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        np.array(["2024-01-01"], "M8[D]"),
        np.zeros(1, "i4,f4"),
        np.zeros(1, np.longdouble),
        {1: object()},
        {1: np.zeros(2)},
        [np.zeros(2), object()],
        1j,
    ],
    ids=[
        "object",
        "set",
        "datetime",
        "struct",
        "longdouble",
        "map of objects",
        "map of arrays",
        "list of objects",
        "complex",
    ],
)
def test_what_no_model_takes_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InputRejected) as caught:
        body_of(value)
    assert caught.value.reason == "INPUT_DTYPE"


@pytest.mark.parametrize("place", ["element", "name", "output"])
def test_strings_that_utf8_has_no_bytes_for_are_refused(place: str) -> None:
    bad = "\ud800"
    value = np.array([bad if place == "element" else "good"], dtype=object)
    feed = [(bad if place == "name" else "x", value)]
    with pytest.raises(InputRejected) as caught:
        RunWriter("ei-1", "s").body(feed, [bad if place == "output" else "y"], {}, "", Deferred())
    assert caught.value.reason == "INPUT_REJECTED"


def test_what_a_writer_keeps_is_bounded() -> None:
    writer, answers = RunWriter("ei-1", "s"), AnswerWriter()
    for size in range(3000):
        array = np.zeros(size % 1500, np.uint8)
        writer.body([("x", array)], [str(size)], {"a": str(size)}, "", Deferred())
        answers.answer(1, [array], 0, 0, 1, 0, Deferred())
    for kept in (writer._heads, writer._outputs, writer._options, answers._heads):
        assert 0 < len(kept) <= 1024
