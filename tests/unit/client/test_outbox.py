"""What goes out on a stream: fused, in turns, nothing of a call that was cancelled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais.channel import PIECE_BYTES
from eais.errors import EaisError
from eais.rpc.v1 import value_pb2, worker_pb2
from eais.testing.values import decode_value, encode_value
from eais.transport.messages import answer_part
from eais.transport.parts import PiecePart
from eais.transport.writing import EncodedRun
from eais.value import Deferred
from eais_client.outbox import FUSED_BYTES, Outbox
from eais_client.pieces import Assembly
from eais_server.worker.holds import Holds


def started() -> tuple[Outbox, Iterator[worker_pb2.ToWorker]]:
    outbox = Outbox("test")
    first = worker_pb2.ToWorker.FromString(b"".join(outbox.first_message()))
    assert first == worker_pb2.ToWorker(hello=first.hello)
    return outbox, said_by(outbox)


def said_by(outbox: Outbox) -> Iterator[worker_pb2.ToWorker]:
    while (message := outbox.next_message()) is not None:
        yield worker_pb2.ToWorker.FromString(b"".join(message))


def run(call: int, *, inline: int = 0) -> EncodedRun:
    tensor = value_pb2.Tensor(raw=bytes(inline))
    value = value_pb2.NamedValue(name="x", value=value_pb2.Value(tensor=tensor))
    data = worker_pb2.Run(call_id=call, inputs=[value]).SerializeToString()
    return EncodedRun(call, (data,), len(data))


def large(*sizes: int) -> Deferred:
    return Deferred(buffers=[memoryview(bytes(size)) for size in sizes])


def test_whatever_waits_goes_in_one_message() -> None:
    outbox, messages = started()
    outbox.hold("s")
    for call in range(3):
        outbox.put(run(call), Deferred())
    outbox.cancel(99)
    outbox.release("r")
    message = next(messages)
    assert [r.call_id for r in message.runs] == [0, 1, 2]
    assert [c.call_id for c in message.cancels] == [99]
    assert (list(message.hold), list(message.release)) == (["s"], ["r"])


SAID = st.lists(st.tuples(st.sampled_from(["hold", "release", "send"]), st.sampled_from("ab")))


@given(SAID)
def test_the_worker_knows_of_a_session_what_was_said_last(said: list[tuple[str, str]]) -> None:
    outbox, messages = started()
    wanted: dict[str, bool] = {}
    holds, stream = Holds(), "this one"

    def send() -> None:
        for message in messages:
            assert not {*message.hold} & {*message.release}
            holds.hold(stream, message.hold)  # as a worker does, in this order
            holds.release(stream, message.release)

    for what, session in said:
        if what == "send":
            send()
            messages = said_by(outbox)
        else:
            (outbox.hold if what == "hold" else outbox.release)(session)
            wanted[session] = what == "hold"
    send()
    assert list(holds.in_use) == sorted(session for session, used in wanted.items() if used)


def test_a_message_stays_within_its_bound() -> None:
    outbox, messages = started()
    for call in range(5):
        outbox.put(run(call, inline=FUSED_BYTES // 2 - 100), Deferred())
    assert [[r.call_id for r in next(messages).runs] for _ in range(3)] == [[0, 1], [2, 3], [4]]


def test_large_calls_take_turns_and_small_ones_pass() -> None:
    outbox, messages = started()
    outbox.put(run(1), large(2 * PIECE_BYTES))
    outbox.put(run(2), large(2 * PIECE_BYTES))
    assert [r.call_id for r in next(messages).runs] == [1, 2]
    order = []
    for _ in range(2):
        order += [piece.call_id for piece in next(messages).pieces]
    outbox.put(run(3), Deferred())
    message = next(messages)
    assert [r.call_id for r in message.runs] == [3]
    assert not message.pieces
    for _ in range(2):
        order += [piece.call_id for piece in next(messages).pieces]
    assert order == [1, 2, 1, 2]


def test_pieces_have_their_turn_however_many_small_calls_come() -> None:
    outbox, messages = started()
    outbox.put(run(1), large(3 * PIECE_BYTES))
    found = []
    for call in range(2, 8):
        outbox.put(run(call), Deferred())
        message = next(messages)
        found.append(([r.call_id for r in message.runs], len(message.pieces)))
    assert found == [([1, 2], 0), ([3], 0), ([], 1), ([4, 5], 0), ([], 1), ([6, 7], 0)]


def test_a_cancelled_call_sends_nothing_more() -> None:
    outbox, messages = started()
    outbox.put(run(1), large(3 * PIECE_BYTES))
    next(messages)
    assert next(messages).pieces
    outbox.cancel(1)
    outbox.put(run(2), Deferred())
    message = next(messages)
    assert not message.pieces
    assert [c.call_id for c in message.cancels] == [1]


def test_a_call_cancelled_before_it_went_never_goes() -> None:
    outbox, messages = started()
    outbox.put(run(1), large(PIECE_BYTES))
    outbox.cancel(1)
    outbox.put(run(2), Deferred())
    message = next(messages)
    assert [r.call_id for r in message.runs] == [2]
    assert not message.cancels
    assert not message.pieces


def test_a_closed_outbox_ends_and_takes_nothing() -> None:
    outbox, messages = started()
    outbox.put(run(1), Deferred())
    outbox.close()
    outbox.put(run(2), Deferred())
    assert list(messages) == []


SIZES = st.lists(st.integers(1, 3 * PIECE_BYTES), max_size=3)


@given(st.lists(SIZES, min_size=1, max_size=3))
def test_all_bytes_arrive_in_order_whatever_their_sizes(calls: list[list[int]]) -> None:
    outbox, messages = started()
    for call, sizes in enumerate(calls):
        outbox.put(run(call), large(*sizes))
    got: dict[tuple[int, int], int] = {}
    wanted = {(c, t): size for c, sizes in enumerate(calls) for t, size in enumerate(sizes)}
    seen: set[int] = set()
    while got != wanted or len(seen) < len(calls):
        message = next(messages)
        seen.update(r.call_id for r in message.runs)
        assert len(message.pieces) <= 1
        for piece in message.pieces:
            key = (piece.call_id, piece.tensor)
            assert piece.call_id in seen
            assert piece.offset == got.get(key, 0)
            got[key] = piece.offset + len(piece.data)


def answer(*arrays: object) -> tuple[worker_pb2.Answer, Deferred]:
    deferred = Deferred(inline_limit=0)
    values = [encode_value(array, deferred) for array in arrays]
    return worker_pb2.Answer(call_id=1, outputs=values), deferred


def test_an_answer_is_whole_when_its_pieces_are_there() -> None:
    np = pytest.importorskip("numpy")
    arrays = [np.arange(400_000, dtype=np.float32), np.arange(3, dtype=np.int8)]
    message, deferred = answer(*arrays)
    assembly = Assembly(answer_part(message))
    for tensor, offset, data in deferred.pieces():
        assert assembly.whole() is None
        assembly.add(PiecePart(1, tensor, offset, data))
    whole = assembly.whole()
    assert whole is not None
    for got, array in zip(whole.values(), arrays, strict=True):
        assert (got == array).all()
        assert got.flags.writeable
    buffers = iter(whole.buffers)
    assert decode_value(message.outputs[0], buffers).shape == (400_000,)


@pytest.mark.parametrize(
    ("tensor", "offset", "size"), [(5, 0, 4), (0, 4, 4), (0, 0, 0), (0, 0, 13), (0, -0, 99)]
)
def test_pieces_that_do_not_follow_are_refused(tensor: int, offset: int, size: int) -> None:
    np = pytest.importorskip("numpy")
    message, _deferred = answer(np.arange(3, dtype=np.float32))
    piece = PiecePart(1, tensor, offset, bytes(size))
    with pytest.raises(EaisError) as caught:
        Assembly(answer_part(message)).add(piece)
    assert caught.value.reason == "MALFORMED_MESSAGE"


def test_an_answer_that_lies_about_its_size_is_refused() -> None:
    np = pytest.importorskip("numpy")
    message, _deferred = answer(np.arange(3, dtype=np.float32))
    message.outputs[0].tensor.deferred_bytes = 1 << 50
    with pytest.raises(EaisError):
        Assembly(answer_part(message))
