from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais.channel import MAX_MESSAGE_BYTES, PIECE_BYTES
from eais.rpc.v1 import common_pb2, worker_pb2
from eais.transport.writing import AnswerWriter, EncodedAnswer, refusal
from eais.value import Deferred
from eais_server.worker.execution import MAX_ANSWER_BYTES
from eais_server.worker.outbox import (
    FUSED_BYTES,
    MAX_UNREAD,
    MAX_UNREAD_BYTES,
    Backlog,
    Lane,
    Outbox,
)


def answer(call_id: int, *outputs: Any) -> EncodedAnswer:
    return AnswerWriter().answer(
        call_id, outputs, 0, 0, 1, 0, Deferred(inline_limit=PIECE_BYTES - 1)
    )


def add(outbox: Outbox, call_id: int, *sizes: int) -> int:
    """An answer with outputs of so many bytes."""
    return outbox.add(answer(call_id, *(np.zeros(size, np.uint8) for size in sizes)))


def taken(outbox: Outbox) -> worker_pb2.ToClient | None:
    """The next message, as a stock client reads it."""
    message = outbox.next()
    return None if message is None else worker_pb2.ToClient.FromString(b"".join(message))


def sent(outbox: Outbox) -> list[tuple[list[int], list[tuple[int, int, int]]]]:
    """All messages: call ids of the answers, (call, tensor, offset) of the pieces."""
    found = []
    while (message := taken(outbox)) is not None:
        assert message.ByteSize() < MAX_MESSAGE_BYTES
        pieces = [(p.call_id, p.tensor, p.offset) for p in message.pieces]
        found.append(([a.call_id for a in message.answers], pieces))
    assert outbox._bytes == 0
    return found


def test_nothing_waits_at_first() -> None:
    outbox = Outbox(100)
    assert not outbox.waiting
    assert outbox.next() is None


def test_hello_goes_first_and_alone() -> None:
    outbox = Outbox(100)
    add(outbox, 1, 3)
    outbox.drain()
    outbox.hello(common_pb2.HelloReply(version=1))
    first, second = taken(outbox), taken(outbox)
    assert first is not None
    assert second is not None
    assert [f.name for f, _ in first.ListFields()] == ["hello"]
    assert second.draining
    assert [a.call_id for a in second.answers] == [1]
    assert outbox.next() is None


def test_small_answers_that_wait_share_a_message() -> None:
    outbox = Outbox(100)
    for call_id in (1, 2, 3):
        add(outbox, call_id, 8)
    assert sent(outbox) == [([1, 2, 3], [])]


def test_fused_messages_are_bounded() -> None:
    outbox = Outbox(100)
    for call_id in range(6):
        add(outbox, call_id, FUSED_BYTES // 5)
    assert [calls for calls, _ in sent(outbox)] == [[0, 1, 2, 3], [4, 5]]


def test_a_large_answer_comes_in_pieces_and_others_pass_it() -> None:
    outbox = Outbox(100)
    add(outbox, 1, 2 * PIECE_BYTES + 1, 8, PIECE_BYTES)
    first, second = taken(outbox), taken(outbox)
    assert first is not None
    assert second is not None
    assert [a.call_id for a in first.answers] == [1]
    assert [(p.tensor, p.offset, len(p.data)) for p in second.pieces] == [(0, 0, PIECE_BYTES)]
    add(outbox, 2, 8)
    assert sent(outbox) == [
        ([2], []),
        ([], [(1, 0, PIECE_BYTES)]),
        ([], [(1, 0, 2 * PIECE_BYTES)]),
        ([], [(1, 1, 0)]),
    ]


def test_large_answers_follow_each_other() -> None:
    outbox = Outbox(100)
    add(outbox, 1, PIECE_BYTES)
    add(outbox, 2, PIECE_BYTES)
    assert sent(outbox) == [([1, 2], []), ([], [(1, 0, 0)]), ([], [(2, 0, 0)])]


def test_pieces_have_their_turn_however_many_small_answers_come() -> None:
    outbox = Outbox(100)
    add(outbox, 1, 2 * PIECE_BYTES)
    found = []
    for call_id in range(2, 7):
        add(outbox, call_id, 8)
        message = taken(outbox)
        assert message is not None
        found.append(([a.call_id for a in message.answers], len(message.pieces)))
    assert found == [([1, 2], 0), ([], 1), ([3, 4], 0), ([], 1), ([5, 6], 0)]


def test_room_is_counted_in_bytes_that_wait() -> None:
    outbox = Outbox(PIECE_BYTES)
    assert add(outbox, 1, 2 * PIECE_BYTES) > 2 * PIECE_BYTES
    room = []
    while outbox.next() is not None:
        room.append(outbox.has_room)
    assert room == [False, False, True]


def room(*lanes: Lane) -> list[bool]:
    return [lane.has_room for lane in lanes]


def test_small_answers_have_room_beside_one_that_is_sent_in_pieces() -> None:
    outbox = Outbox(PIECE_BYTES)
    lanes = Lane(outbox, large=False), Lane(outbox, large=True)
    add(outbox, 1, 9 * PIECE_BYTES)
    assert room(*lanes) == [True, False]
    add(outbox, 2, 9 * PIECE_BYTES)
    assert room(*lanes) == [False, False]  # it isn't that small
    while outbox._bytes > 8 * PIECE_BYTES:
        outbox.next()
    assert room(*lanes) == [True, False]
    for _ in range(1 + PIECE_BYTES // 1000):
        add(outbox, 3, 1000)
    assert room(*lanes) == [False, False]
    outbox.next()
    outbox.next()
    assert room(*lanes) == [True, False]
    outbox.cancel(2, CANCELLED)
    assert room(*lanes) == [True, True]
    assert outbox._large == 0


@given(st.lists(st.tuples(st.sampled_from("alnc"), st.integers(1, 4)), max_size=40))
def test_the_large_answers_that_wait_are_counted(steps: list[tuple[str, int]]) -> None:
    outbox, waiting = Outbox(100), set[int]()
    for number, (step, which) in enumerate(steps):
        match step:
            case "a":
                add(outbox, 100 + number, 8)
            case "l":
                add(outbox, number, which * PIECE_BYTES)
                waiting.add(number)
            case "n":
                outbox.next()
            case _ if waiting:
                outbox.cancel(min(waiting), CANCELLED)
        waiting = {a.call_id for a in outbox._answers if a.deferred.buffers}
        waiting |= {piece.call_id for piece in outbox._pieces}
        assert outbox._large == len(waiting)


def test_the_largest_answer_fits_a_message_while_pieces_wait() -> None:
    outbox = Outbox(100)
    add(outbox, 1, PIECE_BYTES)
    strings = np.array(["x" * (MAX_ANSWER_BYTES - 100)], dtype=object)
    large = answer(2, strings)
    outbox.add(large)
    assert sent(outbox) == [([1], []), ([], [(1, 0, 0)]), ([2], [])]
    add(outbox, 1, 2 * PIECE_BYTES)
    outbox.next()
    outbox.add(large)
    assert sent(outbox) == [([], [(1, 0, 0)]), ([2], []), ([], [(1, 0, PIECE_BYTES)])]


def kept(outbox: Outbox, size: int, *batches: list[int]) -> list[bool]:
    """Of which batches all outputs are kept: these slices of so many bytes wait, in this order."""
    seen: list[weakref.ref[Any]] = []
    for number, rows in enumerate(batches):
        whole = np.full((8, size), number, np.uint8)
        seen.append(weakref.ref(whole))
        for row in rows:
            outbox.add(answer(row, whole[row : row + 1]))
        del whole
    return [whole() is not None for whole in seen]


@pytest.mark.parametrize("size", [20 << 10, 300 << 10])
def test_answers_that_wait_keep_no_more_than_one_batch(size: int) -> None:
    outbox = Outbox(100)
    assert kept(outbox, size, [0], [1], [2, 3]) == [True, False, False]
    found = bytearray()
    while (message := taken(outbox)) is not None:
        for each in message.answers:
            found += each.outputs[0].tensor.raw
        for piece in message.pieces:
            found += piece.data
    assert found == b"".join(bytes([number]) * size for number in (0, 1, 2, 2))


@pytest.mark.parametrize("size", [20 << 10, 300 << 10])
def test_answers_of_one_batch_are_not_copied(size: int) -> None:
    outbox = Outbox(100)
    whole = np.zeros((8, size), np.uint8)
    for row in range(8):
        outbox.add(answer(row, whole[row : row + 1]))
    for each in outbox._answers:
        (view,) = [b for b in (*each.parts, *each.deferred.buffers) if len(b) == size]
        assert np.shares_memory(np.frombuffer(view, np.uint8), whole)


def test_an_answer_that_keeps_nothing_else_is_not_copied() -> None:
    outbox = Outbox(100)
    own = [np.zeros(PIECE_BYTES, np.uint8) for _ in range(3)]
    for array in own:
        outbox.add(answer(1, array))
    for each, array in zip(outbox._answers, own, strict=True):
        assert np.shares_memory(np.frombuffer(each.deferred.buffers[0], np.uint8), array)


CANCELLED = refusal(1, common_pb2.Error(reason="CANCELLED"))


def test_an_answer_that_is_cancelled_before_it_is_sent_is_replaced() -> None:
    outbox = Outbox(100)
    add(outbox, 1, 2 * PIECE_BYTES)
    add(outbox, 2, 8)
    outbox.cancel(1, CANCELLED)
    assert sent(outbox) == [([2, 1], [])]


def test_of_an_answer_that_is_cancelled_while_it_is_sent_no_more_follows() -> None:
    outbox = Outbox(100)
    add(outbox, 1, 4 * PIECE_BYTES)
    add(outbox, 2, 2 * PIECE_BYTES)
    outbox.next()
    outbox.cancel(1, CANCELLED)
    assert sent(outbox) == [([], [(2, 0, 0)]), ([], [(2, 0, PIECE_BYTES)])]
    outbox.cancel(1, CANCELLED)
    assert not outbox.waiting


def test_a_stream_gets_no_more_of_the_backlog_than_is_left_for_others() -> None:
    backlog = Backlog(8 * PIECE_BYTES)
    one, other = Outbox(100 * PIECE_BYTES, backlog), Outbox(100 * PIECE_BYTES, backlog)
    while one.has_room:
        add(one, 1, PIECE_BYTES)
    assert 4 * PIECE_BYTES <= one._bytes < 6 * PIECE_BYTES
    add(one, 2, 8 * PIECE_BYTES)
    assert backlog.free == 0
    assert other.has_room  # who has nothing waiting may always have one more
    one.close()
    other.close()
    assert backlog.held == 0


def test_messages_are_read_until_too_many_answers_wait_for_the_client() -> None:
    outbox = Outbox(100)
    add(outbox, 1, 4 * MAX_UNREAD_BYTES)
    inline = refusal(2, common_pb2.Error(message="x" * (MAX_UNREAD_BYTES // 4)))
    taken = 0
    while outbox.may_read:
        outbox.add(inline)
        taken += 1
    assert taken == 4


def test_small_answers_that_wait_are_bounded_by_their_number() -> None:
    outbox = Outbox(100)
    for call_id in range(MAX_UNREAD):
        assert outbox.may_read
        outbox.add(refusal(call_id, common_pb2.Error()))
    assert not outbox.may_read
    outbox.next()
    assert outbox.may_read
