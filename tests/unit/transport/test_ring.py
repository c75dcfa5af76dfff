"""A ring between two ends that keep the rules, and one whose writer writes what it likes."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eais.rpc.v1 import worker_pb2
from eais.transport.parts import Buffer, PiecePart
from eais.transport.ring.layout import (
    CONSUMED,
    HEADER_BYTES,
    KIND_SHIFT,
    LEAST_AREA_BYTES,
    MESSAGE,
    MORE,
    MOST_AREA_BYTES,
    MOST_MESSAGE_BYTES,
    PIECE,
    PUBLISHED,
    SKIP,
    WRITER_WAITS,
    RingBroken,
    area_of,
    longest_record,
)
from eais.transport.ring.piece import LEAST_BYTES, NoPiece, read_head
from eais.transport.ring.reader import Record, RingReader
from eais.transport.ring.writer import RingWriter

AREA = LEAST_AREA_BYTES


def no_fence() -> None:
    """One thread needs none."""


@dataclass
class Ring:
    """Both ends over plain memory."""

    area: int = AREA
    memory: bytearray = field(init=False)
    writer: RingWriter = field(init=False)
    reader: RingReader = field(init=False)

    def __post_init__(self) -> None:
        self.memory = bytearray(HEADER_BYTES + self.area)
        self.writer = RingWriter(memoryview(self.memory), no_fence)
        self.reader = RingReader(memoryview(self.memory), no_fence)
        self.words = memoryview(self.memory).cast("Q")

    def forge(self, kind: int, length: int, published: int = 8) -> None:
        """What no writer writes, as the first record."""
        self.words[HEADER_BYTES // 8] = (kind << KIND_SHIFT) + length
        self.words[PUBLISHED] = published


def plain(record: Record | None) -> object:
    """A record as something to compare, copied out of the ring."""
    return (*record[:3], bytes(record.data)) if isinstance(record, PiecePart) else record


def piece_message(call: int, tensor: int, offset: int, data: bytes) -> bytes:
    piece = worker_pb2.Piece(call_id=call, tensor=tensor, offset=offset, data=data)
    return worker_pb2.ToWorker(pieces=[piece]).SerializeToString()


def whole(parts: Sequence[Buffer]) -> bytes:
    return b"".join(bytes(part) for part in parts)


def test_messages_come_out_as_they_went_in_and_in_order() -> None:
    ring = Ring()
    for number in range(50):
        ring.writer.put([b"a" * number, memoryview(b"bc"), bytearray(b"%d" % number)])
    found = [ring.reader.next() for _ in range(50)]
    assert found == [b"a" * number + b"bc%d" % number for number in range(50)]
    assert ring.reader.next() is None
    assert not ring.reader.ready


def test_a_message_is_private_and_its_room_is_free_at_once() -> None:
    ring = Ring()
    ring.writer.put([b"first"])
    found = ring.reader.next()
    ring.memory[HEADER_BYTES:] = bytes(AREA)
    assert found == b"first"
    assert ring.words[CONSUMED] == ring.words[PUBLISHED]


def test_a_large_piece_is_shown_where_it_stands_until_the_next() -> None:
    ring, data = Ring(2 * AREA), random.Random(1).randbytes(LEAST_BYTES)
    ring.writer.put([piece_message(7, 2, 1 << 40, data)])
    found = ring.reader.next()
    assert isinstance(found, PiecePart)
    assert plain(found) == (7, 2, 1 << 40, data)
    assert ring.words[CONSUMED] == 0
    ring.reader.release()
    assert ring.words[CONSUMED] == ring.words[PUBLISHED]


def test_a_piece_is_written_from_where_its_bytes_are() -> None:
    ring, data = Ring(1 << 20), random.Random(2).randbytes(200_000)
    message = piece_message(1, 0, 0, data)
    head = message[: -len(data)]
    ring.writer.put([head[:1], head[1:], memoryview(data)])
    ring.writer.put([b"after"])
    found = ring.reader.next()
    assert isinstance(found, PiecePart)
    assert plain(found) == (1, 0, 0, data)
    assert ring.reader.next() == b"after"


def test_a_message_with_a_piece_and_more_is_no_piece() -> None:
    ring = Ring(1 << 20)
    piece = worker_pb2.Piece(call_id=1, data=bytes(100_000))
    message = worker_pb2.ToWorker(pieces=[piece], hold=["a"]).SerializeToString()
    ring.writer.put([message])
    assert ring.reader.next() == message


def test_a_message_longer_than_the_ring_goes_through_in_parts() -> None:
    ring, message = Ring(), random.Random(3).randbytes(5 * AREA + 3)
    ring.writer.put([memoryview(message)[:70_001], memoryview(message)[70_001:]])
    found: list[Record] = []
    while ring.writer.unfinished:
        found += take_all(ring.reader)
        ring.writer.go_on()
    assert found + take_all(ring.reader) == [message]


def test_a_long_message_that_ends_like_a_piece_is_no_piece() -> None:
    ring = Ring(2 * AREA)
    longest = longest_record(2 * AREA)
    tail = piece_message(1, 0, 0, bytes(longest - 20))[:longest]
    tail = piece_message(1, 0, 0, bytes(longest - (len(tail) - (longest - 20))))
    message = bytes(longest) + tail
    ring.writer.put([message])
    assert not ring.writer.unfinished
    assert ring.reader.next() == message


def test_too_long_a_message_is_refused_before_anything_is_written() -> None:
    ring = Ring()
    with pytest.raises(ValueError, match="at most"):
        ring.writer.put([bytes(MOST_MESSAGE_BYTES), b"x"])
    assert not ring.writer.unfinished
    assert not ring.reader.ready


def test_what_finds_no_room_waits_until_half_is_free_and_the_reader_knows() -> None:
    ring = Ring()
    count = 0
    while not ring.writer.unfinished:
        ring.writer.put([bytes([count]) * 8000])
        count += 1
    assert ring.writer.may_wait()
    woken_after = 0
    for number in range(count - 1):
        assert ring.reader.next() == bytes([number]) * 8000
        if ring.reader.writer_waits():
            assert not woken_after
            woken_after = number + 1
    assert 2 <= woken_after <= count // 2 + 1
    assert ring.writer.go_on()
    assert ring.reader.next() == bytes([count - 1]) * 8000


def test_nobody_waits_for_room_that_there_is() -> None:
    ring = Ring()
    fill(ring)
    while ring.reader.next():
        pass
    assert not ring.writer.may_wait()
    assert ring.writer.go_on()


def test_a_reader_that_sleeps_is_woken_by_what_comes_only() -> None:
    ring = Ring()
    ring.writer.put([b"x"])
    assert not ring.writer.reader_sleeps()
    assert not ring.reader.may_sleep()  # there is something
    assert ring.reader.next() == b"x"
    assert ring.reader.may_sleep()
    ring.writer.put([b"y"])
    assert ring.writer.reader_sleeps()
    ring.reader.awake()
    assert not ring.writer.reader_sleeps()


def test_small_calls_stay_near_the_beginning() -> None:
    ring = Ring(1 << 20)
    for _ in range(20_000):
        ring.writer.put([b"z" * 1000])
        assert ring.reader.next() == b"z" * 1000
    assert not any(ring.memory[HEADER_BYTES + (64 << 10) :])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 24_000), min_size=1, max_size=3), max_size=60),
    st.integers(0, 1 << 32),
    st.sampled_from([AREA, 2 * AREA, 3 * AREA, 16 * AREA]),
)
def test_whatever_the_sizes_and_turns_nothing_is_lost(
    sizes: list[list[int]], seed: int, area: int
) -> None:
    ring, rng = Ring(area), random.Random(seed)
    messages = [[rng.randbytes(size) for size in parts] for parts in sizes]
    for at, parts in enumerate(messages):
        if rng.random() < 0.3:
            messages[at] = [piece_message(at, 1, at, parts[0])]
    waiting, found = deque(messages), []
    while waiting or ring.writer.unfinished or ring.reader.ready:
        if rng.random() < 0.5:
            if ring.writer.unfinished:
                ring.writer.go_on()
            elif waiting:
                ring.writer.put(waiting.popleft())
        elif (record := ring.reader.next()) is not None:
            found.append(as_message(record))
    assert found == [whole(parts) for parts in messages]


def as_message(record: Record) -> bytes:
    if isinstance(record, PiecePart):
        return piece_message(*record[:3], bytes(record.data))
    return bytes(record)


def fill(ring: Ring) -> None:
    """Until a message doesn't fit."""
    while not ring.writer.unfinished:
        ring.writer.put([bytes(8000)])


def take_all(reader: RingReader) -> list[Record]:
    found = []
    while (record := reader.next()) is not None:
        found.append(record)
    return found


@pytest.mark.parametrize("size", [0, HEADER_BYTES, HEADER_BYTES + 1000, HEADER_BYTES + AREA + 8])
def test_a_memory_of_another_size_is_no_ring(size: int) -> None:
    with pytest.raises(RingBroken, match=f"{size} bytes"):
        RingReader(memoryview(bytearray(size)), no_fence)
    with pytest.raises(RingBroken, match=f"{size} bytes"):
        RingWriter(memoryview(bytearray(size)), no_fence)


def test_a_huge_memory_is_no_ring() -> None:
    with pytest.raises(RingBroken):
        area_of(HEADER_BYTES + MOST_AREA_BYTES + HEADER_BYTES)


@pytest.mark.parametrize("published", [1, 7, AREA + 8, 1 << 40, (1 << 64) - 8])
def test_a_writer_that_is_nowhere_breaks_the_ring(published: int) -> None:
    ring = Ring()
    ring.forge(MESSAGE, 0 if published > 8 else 4, published)
    with pytest.raises(RingBroken):
        ring.reader.next()


def test_a_writer_that_takes_back_what_was_read_breaks_the_ring() -> None:
    ring = Ring()
    ring.writer.put([b"abc"])
    assert ring.reader.next() == b"abc"
    ring.words[PUBLISHED] = 0
    with pytest.raises(RingBroken, match="writer"):
        ring.reader.next()


@pytest.mark.parametrize("consumed", [8 * AREA, 1 << 63, (1 << 64) - 1])
def test_a_reader_that_read_what_was_never_written_breaks_the_ring(consumed: int) -> None:
    ring = Ring()
    ring.writer.put([b"abc"])
    ring.words[CONSUMED] = consumed
    with pytest.raises(RingBroken, match="reader"):
        fill(ring)


def test_a_reader_that_goes_back_breaks_the_ring() -> None:
    ring = Ring()
    for _ in range(3):
        ring.writer.put([bytes(12_000)])
        ring.reader.next()
    while not ring.writer.unfinished:
        ring.writer.put([bytes(12_000)])
    ring.words[CONSUMED] = 8
    with pytest.raises(RingBroken, match="reader"):
        ring.writer.go_on()


@pytest.mark.parametrize(
    ("kind", "length"),
    [
        (0, 0),
        (MESSAGE, 9),  # longer than what is published
        (MESSAGE, (1 << 32) - 1),
        (MESSAGE, AREA // 2),
        (PIECE, 0),
        (PIECE, 8),
        (MORE, 8),
        (SKIP, 8),
        (SKIP, AREA - 8),  # at the beginning there is nothing to skip to
        (5, 8),
        ((1 << 32) - 1, 8),
    ],
)
def test_a_record_that_nobody_writes_breaks_the_ring(kind: int, length: int) -> None:
    ring = Ring()
    ring.forge(kind, length, AREA if length == AREA - 8 else 16)
    with pytest.raises(RingBroken):
        ring.reader.next()


def forge_part(ring: Ring, count: int) -> None:
    """Publish the part after `count` others."""
    longest = longest_record(AREA)
    begin = count * (longest + 8)
    ring.words[(HEADER_BYTES + begin % AREA) // 8] = (MORE << KIND_SHIFT) + longest
    ring.words[PUBLISHED] = begin + longest + 8


def test_parts_without_end_break_the_ring() -> None:
    ring, longest = Ring(), longest_record(AREA)
    for count in range(MOST_MESSAGE_BYTES // longest):
        forge_part(ring, count)
        assert ring.reader.next() is None
    forge_part(ring, MOST_MESSAGE_BYTES // longest)
    with pytest.raises(RingBroken, match="longer"):
        ring.reader.next()


def test_a_piece_amid_a_message_breaks_the_ring() -> None:
    ring, longest = Ring(), longest_record(AREA)
    ring.forge(MORE, longest, longest + 8)
    assert ring.reader.next() is None
    ring.words[(HEADER_BYTES + longest + 8) // 8] = (PIECE << KIND_SHIFT) + 8
    ring.words[PUBLISHED] = longest + 24
    with pytest.raises(RingBroken, match="amid"):
        ring.reader.next()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64), st.integers(0, 1 << 32))
def test_whatever_a_writer_writes_the_reader_ends_soon(junk: bytes, seed: int) -> None:
    ring, rng = Ring(), random.Random(seed)
    for _ in range(rng.randrange(6)):
        ring.writer.put([rng.randbytes(rng.randrange(9000))])
    for _ in range(rng.randrange(1, 20)):
        at = rng.choice([0, rng.randrange(0, 128), rng.randrange(HEADER_BYTES, len(ring.memory))])
        ring.memory[at : at + len(junk)] = junk[: len(ring.memory) - at]
    taken = 0
    try:
        while (record := ring.reader.next()) is not None:
            taken += 1
            assert taken <= AREA // 8
            assert len(plain(record)[3] if isinstance(record, PiecePart) else record) <= AREA  # type: ignore[index]
    except RingBroken:
        pass


def test_a_wish_for_room_that_nobody_has_is_answered_once() -> None:
    ring = Ring()
    ring.writer.put([b"a"])
    ring.words[WRITER_WAITS] = 3
    assert ring.reader.next() == b"a"
    assert ring.reader.writer_waits()
    assert not ring.reader.writer_waits()


@pytest.mark.parametrize(
    ("call", "tensor", "offset"), [(0, 0, 0), (1, 0, 5), ((1 << 64) - 1, (1 << 32) - 1, 1 << 63)]
)
def test_the_head_of_a_piece_is_read_as_the_generated_classes_write_it(
    call: int, tensor: int, offset: int
) -> None:
    data = bytes(70_000)
    message = piece_message(call, tensor, offset, data)
    found = read_head(message[:48], len(message))
    assert found == (call, tensor, offset, len(message) - len(data))


@given(st.binary(max_size=80), st.integers(0, 200))
def test_any_other_bytes_are_no_piece_or_one_within_its_message(head: bytes, size: int) -> None:
    try:
        *_, at = read_head(head, size)
    except NoPiece:
        return
    assert 0 < at <= size
