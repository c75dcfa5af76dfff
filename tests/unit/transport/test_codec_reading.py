"""What is read by hand is what the generated classes read, whatever it is, and however often."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from eais.errors import InputRejected, UsageError
from eais.rpc.v1 import common_pb2, value_pb2, worker_pb2
from eais.transport.messages import MAX_VALUES, to_client_parts, to_worker_parts
from eais.transport.parts import MapPart, SequencePart, TensorPart, ToWorkerParts
from eais.transport.reading import ToClientReader, ToWorkerReader
from eais.transport.tensors import checked_size
from tests.unit.transport.odd_messages import odd_message
from tests.unit.transport.values import (
    damaged,
    run_messages,
    to_client_messages,
    to_worker_messages,
)

MALFORMED = "MALFORMED_MESSAGE"


def plain(part: Any) -> Any:
    """A part without what tells by which way it was read."""
    match part:
        case TensorPart():
            return part._replace(raw=bytes(part.raw), strings=list(part.strings))
        case SequencePart():
            return [plain(value) for value in part.values]
        case MapPart():
            return ("map", plain(part.keys), plain(part.values))
    if hasattr(part, "_asdict"):
        return [plain(value) for name, value in part._asdict().items() if name != "size"]
    if isinstance(part, list | tuple):
        return [plain(value) for value in part]
    if isinstance(part, memoryview | bytearray):
        return bytes(part)
    return dict(part) if isinstance(part, dict) else part


def read(reader: Any, data: Any) -> Any:
    try:
        return plain(reader.read(data))
    except UsageError as error:
        return error.reason


def to_worker_by_classes(data: bytes) -> Any:
    try:
        return plain(to_worker_parts(worker_pb2.ToWorker.FromString(data)))
    except DecodeError:
        return MALFORMED


def to_client_by_classes(data: bytes) -> Any:
    try:
        return plain(to_client_parts(worker_pb2.ToClient.FromString(data)))
    except DecodeError:
        return MALFORMED


@settings(max_examples=150, deadline=None)
@given(damaged(to_worker_messages))
def test_messages_to_workers_and_their_ruins_mean_what_the_classes_say(found: list[bytes]) -> None:
    reader = ToWorkerReader()
    for data in [*found, *found]:
        assert read(reader, data) == to_worker_by_classes(data)


@settings(max_examples=150, deadline=None)
@given(damaged(to_client_messages))
def test_messages_to_clients_and_their_ruins_mean_what_the_classes_say(found: list[bytes]) -> None:
    reader = ToClientReader()
    for data in [*found, *found]:
        assert read(reader, data) == to_client_by_classes(data)


#: Of one reader, so that it has learnt something.
MESSAGES = 50


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 40), st.sampled_from([0.02, 0.1, 0.4]))
def test_to_workers_whatever_protobuf_allows_means_what_the_classes_say(
    seed: int, oddness: float
) -> None:
    rng, reader = random.Random(seed), ToWorkerReader()
    for _ in range(MESSAGES):
        data = odd_message(rng, "ToWorker", oddness)
        for _ in range(2):
            assert read(reader, data) == to_worker_by_classes(data)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 40), st.sampled_from([0.02, 0.1, 0.4]))
def test_to_clients_whatever_protobuf_allows_means_what_the_classes_say(
    seed: int, oddness: float
) -> None:
    rng, reader = random.Random(seed), ToClientReader()
    for _ in range(MESSAGES):
        data = odd_message(rng, "ToClient", oddness)
        for _ in range(2):
            assert read(reader, data) == to_client_by_classes(data)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=3))
def test_bytes_of_any_kind_are_a_message_or_malformed(found: list[bytes]) -> None:
    worker, client = ToWorkerReader(), ToClientReader()
    for data in found:
        assert read(worker, data) == to_worker_by_classes(data)
        assert read(client, data) == to_client_by_classes(data)


@settings(max_examples=200, deadline=None)
@given(damaged(to_worker_messages), st.integers(1, 3))
def test_portions_together_are_the_whole(found: list[bytes], most: int) -> None:
    reader = ToWorkerReader()
    for data in found:
        try:
            portions = list(reader.portions(data, most))
        except UsageError:
            assert to_worker_by_classes(data) == MALFORMED
            continue
        assert all(len(items) <= most for portion in portions for items in lists(portion))
        assert plain(together(portions)) == to_worker_by_classes(data)


def lists(portion: ToWorkerParts) -> Iterable[Any]:
    return (portion.runs, portion.pieces, portion.cancels, portion.hold, portion.release)


def together(portions: list[ToWorkerParts]) -> ToWorkerParts:
    whole = ToWorkerParts()
    for portion in portions:
        whole = ToWorkerParts(
            portion.hello or whole.hello,
            [*whole.runs, *portion.runs],
            [*whole.pieces, *portion.pieces],
            [*whole.cancels, *portion.cancels],
            [*whole.hold, *portion.hold],
            [*whole.release, *portion.release],
            portion.ring_wanted or whole.ring_wanted,
            portion.ring_begins or whole.ring_begins,
        )
    return whole


def test_nothing_is_read_of_a_message_before_it_is_asked_for() -> None:
    good = worker_pb2.ToWorker(runs=[worker_pb2.Run(call_id=1)]).SerializeToString()
    portions = ToWorkerReader().portions(good + b"\x12\x01\x0a", 1)
    assert next(portions).runs[0].call_id == 1
    with pytest.raises(UsageError):
        next(portions)


def run_of(session: str = "s", raw: bytes = bytes(8), **more: Any) -> worker_pb2.Run:
    tensor = value_pb2.Tensor(type=value_pb2.FLOAT, dims=[len(raw) // 4], raw=raw)
    named = value_pb2.NamedValue(name="x", value=value_pb2.Value(tensor=tensor))
    return worker_pb2.Run(instance="ei-1", epoch=3, session=session, inputs=[named], **more)


def test_calls_alike_but_for_their_names_are_told_apart() -> None:
    reader = ToWorkerReader()
    for _ in range(3):
        for session in ("a", "b", "c"):
            for output in ("y", "z"):
                message = worker_pb2.ToWorker(runs=[run_of(session, outputs=[output])])
                (run,) = reader.read(message.SerializeToString()).runs
                assert (run.session, run.outputs) == (session, (output,))


@settings(max_examples=200, deadline=None)
@given(st.lists(run_messages, min_size=2, max_size=4), st.data())
def test_what_was_learnt_of_one_call_is_not_said_of_another(
    runs: list[worker_pb2.Run], data: st.DataObject
) -> None:
    reader = ToWorkerReader()
    for _ in range(6):
        some = data.draw(st.lists(st.sampled_from(runs), max_size=3))
        for run in some:
            run.call_id = data.draw(st.integers(0, 300))
            run.timeout_us = data.draw(st.integers(0, 300))
        message = worker_pb2.ToWorker(runs=some).SerializeToString()
        assert read(reader, message) == to_worker_by_classes(message)


@pytest.mark.parametrize("size", [16 << 10, (16 << 10) + 4, 1 << 20])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_large_tensors_are_views_and_small_ones_are_not(size: int, kind: Any) -> None:
    message = worker_pb2.ToWorker(runs=[run_of(raw=bytes(size))])
    data = kind(message.SerializeToString())
    reader = ToWorkerReader()
    for _ in range(2):
        (run,) = reader.read(data).runs
        raw = run.inputs[0][1].raw
        assert isinstance(raw, memoryview) == (size > 16 << 10)
        assert bytes(raw) == bytes(size)


def test_a_large_message_is_not_kept_for_a_small_part_of_it() -> None:
    small, large = run_of(raw=bytes(20 << 10)), run_of(raw=bytes(1 << 20))
    data = worker_pb2.ToWorker(runs=[small, large]).SerializeToString()
    raws = [run.inputs[0][1].raw for run in ToWorkerReader().read(data).runs]
    assert [type(raw) for raw in raws] == [bytes, memoryview]


def test_hello_given_twice_is_one() -> None:
    first = worker_pb2.ToWorker(hello=common_pb2.Hello(version=1, software="a"))
    second = worker_pb2.ToWorker(hello=common_pb2.Hello(software="b", capabilities=["c"]))
    data = first.SerializeToString() + second.SerializeToString()
    hello = ToWorkerReader().read(data).hello
    assert hello == common_pb2.Hello(version=1, software="b", capabilities=["c"])


def test_unknown_fields_are_passed_over_wherever_they_are() -> None:
    run = run_of(call_id=7).SerializeToString() + b"\xa2\x06\x03new"
    data = b"\x12" + bytes([len(run)]) + run + b"\x98\x06\x05" + b"\x22\x02\x08\x09"
    parts = ToWorkerReader().read(data)
    assert parts.runs[0].call_id == 7
    assert parts.runs[0].size == len(run)
    assert parts.cancels == [9]


def sequence(values: list[value_pb2.Value]) -> value_pb2.Value:
    return value_pb2.Value(sequence=value_pb2.Sequence(values=values))


@pytest.mark.parametrize("nested", [False, True])
def test_of_far_too_many_values_no_more_are_made_than_tell(nested: bool) -> None:
    many = [value_pb2.Value()] * (MAX_VALUES * 2)
    run = worker_pb2.Run(call_id=7)
    if nested:
        run.inputs.add(name="x", value=sequence([sequence(many)]))
    else:
        run.inputs.extend(value_pb2.NamedValue(value=value) for value in many)
    data = worker_pb2.ToWorker(runs=[run]).SerializeToString()
    (part,) = ToWorkerReader().read(data).runs
    assert part.call_id == 7
    counted = len(part.inputs)
    if nested:
        outer = part.inputs[0][1].values
        counted += len(outer) + len(outer[0].values)
    assert counted == MAX_VALUES + 1


def test_of_a_million_dims_so_many_are_made_that_they_are_refused() -> None:
    tensor = value_pb2.Tensor(type=value_pb2.FLOAT, dims=[1] * 1_000_000, raw=bytes(4))
    run = worker_pb2.Run(inputs=[value_pb2.NamedValue(value=value_pb2.Value(tensor=tensor))])
    data = worker_pb2.ToWorker(runs=[run]).SerializeToString()
    (part,) = ToWorkerReader().read(data).runs
    with pytest.raises(InputRejected) as caught:
        checked_size(part.inputs[0][1])
    assert caught.value.reason == "INPUT_SIZE"


@pytest.mark.parametrize(
    "tensor",
    [
        b"\x08\x01\x12\x01\x01\x1a\x04abcd\x20\x00",
        b"\x08\x80\x12\x08\x01\x08\x01\x08\x01\x08\x01\x01",
        b"\x08\x01\x12\x01\x81\x01\x1a\x04abcd",
        b"\x08\x01\x1a\x04abcd\x1a\x00",
        b"\x08\x01\x1a\x04abcd\x12\x01\x01",
        b"\x08\x01\x10\x01\x10\x02\x1a\x08abcdabcd",
        b"\x08\x01\x12\x01\x01\x10\x02\x1a\x08abcdabcd",
    ],
    ids=[
        "a default written out",
        "a large type",
        "a dim beyond the dims",
        "raw twice",
        "dims last",
        "dims not packed",
        "dims packed and not",
    ],
)
def test_odd_tensors_mean_what_the_classes_say_each_time(tensor: bytes) -> None:
    value = b"\x0a" + varint(len(tensor)) + tensor
    named = b"\x12" + varint(len(value)) + value
    run = b"\x2a" + varint(len(named)) + named
    data = b"\x12" + varint(len(run)) + run
    reader = ToWorkerReader()
    for _ in range(2):
        assert read(reader, data) == to_worker_by_classes(data)


def test_values_may_nest_as_deep_as_protobuf_lets_them() -> None:
    for depth in (7, 8, 9, 40):
        value = value_pb2.Value(absent=value_pb2.Absent())
        for _ in range(depth):
            value = sequence([value])
        run = worker_pb2.Run(inputs=[value_pb2.NamedValue(name="x", value=value)])
        data = worker_pb2.ToWorker(runs=[run]).SerializeToString()
        assert read(ToWorkerReader(), data) == to_worker_by_classes(data) != MALFORMED


def test_deeper_than_protobuf_reads_is_malformed() -> None:
    data = b""
    for _ in range(60):
        inner = b"\x0a" + varint(len(data)) + data
        data = b"\x12" + varint(len(inner)) + inner
    named = b"\x12" + varint(len(data)) + data
    run = b"\x2a" + varint(len(named)) + named
    with pytest.raises(UsageError):
        ToWorkerReader().read(b"\x12" + varint(len(run)) + run)


def varint(value: int) -> bytes:
    made = b""
    while value > 127:
        made += bytes([value & 127 | 128])
        value >>= 7
    return made + bytes([value])


def test_what_is_learnt_is_bounded() -> None:
    reader = ToWorkerReader()
    for number in range(3000):
        run = run_of(session=f"{number:0>100}", raw=bytes(4 * (number % 1500)))
        (part,) = reader.read(worker_pb2.ToWorker(runs=[run]).SerializeToString()).runs
        assert part.session == run.session
    learnt = reader._runs._layouts.by_length.values()
    kept = sum(len(meanings) for alike in learnt for _, meanings, _ in alike)
    assert 0 < kept <= (1 << 20) // 1024 + 1
