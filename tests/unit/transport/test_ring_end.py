"""Rings of real memory: between processes, handed over, and handed over by somebody hostile."""

from __future__ import annotations

import fcntl
import gc
import os
import random
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from eais.rpc.v1 import worker_pb2
from eais.transport.parts import PiecePart
from eais.transport.ring.bell import Bell, make_bell, require_bell
from eais.transport.ring.end import Descriptors, RingEnd
from eais.transport.ring.handover import (
    HALF_BYTES,
    NoRing,
    Peer,
    hand_over,
    listening_socket,
    make_pair,
    peer_of,
    take_over,
)
from eais.transport.ring.layout import HEADER_BYTES, LEAST_AREA_BYTES, MOST_AREA_BYTES, RingBroken
from eais.transport.ring.memory import KEEPS_ORDER, make_memory, map_memory
from tests.descriptors import no_descriptors
from tests.unit.transport.ring_echo import finish, wait

pytestmark = pytest.mark.skipif(not KEEPS_ORDER, reason="no rings on this kind of processor")

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
SMALL = LEAST_AREA_BYTES
PATIENCE_S = 60.0


def open_files() -> Counter[str]:
    """What this process has open of the kinds that a ring is made of."""
    found: Counter[str] = Counter()
    for path in Path("/proc/self/fd").iterdir():
        try:
            kind = str(path.readlink())
        except OSError:
            continue
        if "eais-ring" in kind or "eventfd" in kind:
            found[kind] += 1
    return found


def mappings() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:eais-ring")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Descriptors and mappings are back to where they were."""
    before = open_files(), mappings()
    yield
    gc.collect()
    assert (open_files(), mappings()) == before


@contextmanager
def two_ends(area: int = SMALL, *, may_spin: bool = False) -> Iterator[tuple[RingEnd, RingEnd]]:
    """Both ends in this process."""
    pair = make_pair(may_spin=may_spin, area=area)
    other = RingEnd(pair.others, may_spin=may_spin)
    try:
        yield pair.end, other
    finally:
        pair.end.close()
        other.close()


@contextmanager
def echoing(area: int = SMALL, *, spins: bool) -> Iterator[tuple[RingEnd, subprocess.Popen[bytes]]]:
    """An end whose other sends back all, in a process of its own."""
    pair = make_pair(may_spin=spins, area=area)
    arguments = [*map(str, pair.others), str(int(spins))]
    program = [sys.executable, "-m", "tests.unit.transport.ring_echo", *arguments]
    try:
        child = subprocess.Popen(program, pass_fds=pair.others)
    finally:
        pair.handed_over()
    with child:
        try:
            yield pair.end, child
        finally:
            child.kill()
            pair.end.close()


@pytest.mark.parametrize("spins", [False, True])
def test_what_goes_to_another_process_comes_back_as_it_was(spins: bool) -> None:
    rng = random.Random(4)
    with echoing(spins=spins) as (end, _child):
        for size in [0, 1, 7, 8, 9, 4000, 20_000, 100_000, *rng.choices(range(3000), k=2000)]:
            message = rng.randbytes(size)
            end.send([message])
            finish(end)
            assert wait(end) == message


def test_many_at_once_come_back_in_their_order() -> None:
    rng = random.Random(5)
    messages = [rng.randbytes(rng.randrange(2000)) for _ in range(3000)]
    with echoing(spins=False) as (end, _child):
        writer = threading.Thread(target=send_all, args=(end, messages))
        writer.start()
        assert [wait(end) for _ in messages] == messages
        writer.join()


def send_all(end: RingEnd, messages: list[bytes]) -> None:
    """Beside a thread that reads, which takes what wakes both."""
    for message in messages:
        end.send([message])
        while end.unfinished and not end.go_on():
            os.sched_yield()


def test_a_process_that_is_killed_leaves_what_it_said_and_nothing_breaks() -> None:
    with echoing(1 << 20, spins=False) as (end, child):
        end.send([b"first"])
        assert wait(end) == b"first"
        for number in range(20):
            end.send([bytes([number]) * 40_000])
            if end.unfinished:
                break
        os.kill(child.pid, signal.SIGKILL)
        child.wait(PATIENCE_S)
        number = 0
        while (record := end.take()) is not None:
            assert record == bytes([number]) * 40_000
            number += 1
        while not end.unfinished:
            end.send([bytes(40_000)])  # nobody reads
        assert not end.go_on()


def test_an_end_that_sleeps_is_woken_and_one_that_looks_is_not() -> None:
    with two_ends() as (near, far):
        assert far.take() is None
        assert far.sleeps()
        near.send([b"x"])
        assert rung(far)
        far.wakes()
        assert not rung(far)
        assert far.take() == b"x"
        near.send([b"y"])
        assert not rung(far)
        assert not far.sleeps()
        assert far.take() == b"y"


def test_an_end_that_waits_for_room_is_woken_when_half_is_free() -> None:
    with two_ends() as (near, far):
        while not near.unfinished:
            near.send([bytes(8000)])
        assert not near.go_on()
        taken = 0
        while not rung(near):
            assert far.take() is not None
            taken += 1
        assert taken >= 2
        assert near.go_on()
        assert not near.unfinished


def rung(end: RingEnd) -> bool:
    poll = select.poll()
    poll.register(end.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def test_who_may_spin_sees_what_comes_meanwhile() -> None:
    with two_ends(may_spin=True) as (near, far):
        timer = threading.Timer(0.0, lambda: near.send([b"z"]))
        timer.start()
        while not far.await_more():
            continue
        assert far.take() == b"z"
        timer.join()


def test_closing_twice_does_nothing_more() -> None:
    with two_ends() as (near, _far):
        near.close()
        near.close()


def test_a_piece_still_in_hand_is_no_obstacle_to_closing() -> None:
    with two_ends(1 << 20) as (near, far):
        piece = worker_pb2.Piece(call_id=1, data=b"p" * 100_000)
        near.send([worker_pb2.ToClient(pieces=[piece]).SerializeToString()])
        record = far.take()
        assert isinstance(record, PiecePart)
        far.close()
        assert len(record.data) == 100_000


@contextmanager
def descriptor(make: Callable[[], int]) -> Iterator[int]:
    fd = make()
    try:
        yield fd
    finally:
        os.close(fd)


def memfd(size: int, seals: int) -> int:
    fd = os.memfd_create("eais-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def regular_file() -> int:
    with tempfile.TemporaryFile() as file:
        file.truncate(HEADER_BYTES + SMALL)
        return os.dup(file.fileno())


NOT_RINGS: dict[str, Callable[[], int]] = {
    "a file": regular_file,
    "an eventfd": lambda: os.eventfd(0),
    "a memfd without seals": lambda: memfd(HEADER_BYTES + SMALL, 0),
    "one that can shrink": lambda: memfd(HEADER_BYTES + SMALL, SEALS & ~fcntl.F_SEAL_SHRINK),
    "one that can grow": lambda: memfd(HEADER_BYTES + SMALL, SEALS & ~fcntl.F_SEAL_GROW),
    "one that can be sealed more": lambda: memfd(HEADER_BYTES + SMALL, SEALS & ~fcntl.F_SEAL_SEAL),
    "one that can't be written": lambda: memfd(HEADER_BYTES + SMALL, SEALS | fcntl.F_SEAL_WRITE),
    "an empty one": lambda: memfd(0, SEALS),
    "one of an odd size": lambda: memfd(HEADER_BYTES + SMALL + 1, SEALS),
    "a small one": lambda: memfd(HEADER_BYTES + 4096, SEALS),
    "a huge one": lambda: memfd(HEADER_BYTES + 2 * MOST_AREA_BYTES, SEALS),
}


@pytest.mark.parametrize("what", NOT_RINGS)
def test_what_is_no_rings_memory_is_not_mapped(what: str) -> None:
    with descriptor(NOT_RINGS[what]) as fd, pytest.raises(RingBroken):
        map_memory(fd)
    assert mappings() == 0


def test_a_rings_memory_keeps_its_size() -> None:
    with descriptor(lambda: make_memory(SMALL)) as fd:
        for size in (0, HEADER_BYTES, 4 * SMALL):
            with pytest.raises(PermissionError):
                os.ftruncate(fd, size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_a_bell_that_was_made_to_wait_is_not_waited_for() -> None:
    with descriptor(make_bell) as fd:
        bell = Bell(os.dup(fd))
        os.set_blocking(fd, True)
        bell.clear()  # nothing was rung
        with pytest.raises(RingBroken, match="bell"):
            bell.ring()
        bell.close()


def test_a_bell_that_is_full_is_a_bell_that_was_rung() -> None:
    with descriptor(make_bell) as fd:
        bell = Bell(os.dup(fd))
        os.eventfd_write(fd, (1 << 64) - 2)
        bell.ring()
        bell.clear()
        bell.ring()
        assert os.eventfd_read(fd) == 1
        bell.close()


def test_only_an_eventfd_is_a_bell() -> None:
    with descriptor(make_bell) as fd:
        require_bell(fd)
    with descriptor(regular_file) as fd, pytest.raises(RingBroken, match="eventfd"):
        require_bell(fd)


class Worker:
    """What hands over a ring, on a thread: as a worker does, or otherwise."""

    def __init__(self, answer: Callable[[socket.socket, bytes], None]) -> None:
        self._listening = listening_socket()
        self._listening.setblocking(True)
        self._answer = answer
        self.nonce = secrets.token_bytes(2 * HALF_BYTES)
        self.client: Peer | None = None
        name = self._listening.getsockname()[1:].decode()
        self.offer = worker_pb2.RingOffer(socket=name, nonce=self.nonce)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Worker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(PATIENCE_S)
        self._listening.close()

    def _serve(self) -> None:
        sock, _ = self._listening.accept()
        with sock:
            self.client = peer_of(sock)
            self._answer(sock, sock.recv(HALF_BYTES))


def anybody(_peer: Peer) -> bool:
    return True


def test_a_ring_is_handed_over_to_who_says_the_nonce() -> None:
    ends: list[RingEnd] = []

    def answer(sock: socket.socket, said: bytes) -> None:
        assert said == worker.nonce[:HALF_BYTES]
        pair = make_pair(may_spin=True, area=SMALL)
        hand_over(sock, worker.nonce[HALF_BYTES:], pair, may_spin=True)
        pair.handed_over()
        ends.append(pair.end)

    seen: list[Peer] = []

    def note(peer: Peer) -> bool:
        seen.append(peer)
        return True

    with Worker(answer) as worker:
        near = take_over(worker.offer, note)
    assert seen == [worker.client] == [Peer(os.getpid(), os.geteuid())]
    (far,) = ends
    near.send([b"there"])
    assert far.take() == b"there"
    far.send([b"back"])
    assert near.take() == b"back"
    near.close()
    far.close()


def test_nobody_listens_there() -> None:
    offer = worker_pb2.RingOffer(socket="eais-ring-nobody", nonce=bytes(32))
    with pytest.raises(NoRing, match="isn't on this host"):
        take_over(offer, anybody)


@pytest.mark.parametrize("name", ["", "x" * 200, "a\0b"])
def test_a_name_that_no_socket_has(name: str) -> None:
    with pytest.raises(NoRing):
        take_over(worker_pb2.RingOffer(socket=name, nonce=bytes(32)), anybody)


@pytest.mark.parametrize("nonce", [b"", bytes(16), bytes(33)])
def test_a_nonce_of_another_length_is_not_said_to_anybody(nonce: bytes) -> None:
    with pytest.raises(NoRing, match="version"):
        take_over(worker_pb2.RingOffer(socket="eais-ring-x", nonce=nonce), anybody)


def test_the_nonce_is_not_said_to_another_user() -> None:
    heard: list[bytes] = []
    worker = Worker(lambda _sock, said: heard.append(said))
    with worker, pytest.raises(NoRing, match="another user"):
        take_over(worker.offer, lambda _peer: False)
    assert heard == [b""]


def test_a_worker_that_refuses() -> None:
    with Worker(lambda _sock, _said: None) as worker, pytest.raises(NoRing, match="refused"):
        take_over(worker.offer, anybody)


def test_a_worker_that_never_answers() -> None:
    leave = threading.Event()
    with Worker(lambda _sock, _said: assert_set(leave)) as worker:
        with pytest.raises(NoRing, match="broke off"):
            take_over(worker.offer, anybody, timeout_s=0.05)
        leave.set()


def assert_set(event: threading.Event) -> None:
    assert event.wait(PATIENCE_S)


Given = Callable[[Descriptors], list[int]]
HOSTILE: dict[str, tuple[Given, str]] = {
    "too few": (lambda fds: list(fds[:3]), "something else"),
    "none": (lambda _fds: [], "something else"),
    "bells for memory": (lambda fds: [fds[2], fds[3], fds[2], fds[3]], "memfd"),
    "memory for bells": (lambda fds: [fds[0], fds[1], fds[0], fds[1]], "eventfd"),
    "memory of which one is none": (lambda fds: [fds[0], fds[2], fds[2], fds[3]], "memfd"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_ring_is_not_taken_and_nothing_of_it_kept(case: str) -> None:
    given, why = HOSTILE[case]

    def answer(sock: socket.socket, _said: bytes) -> None:
        pair = make_pair(may_spin=False, area=SMALL)
        reply = worker.nonce[HALF_BYTES:] + b"\0"
        if fds := given(pair.others):
            socket.send_fds(sock, [reply], fds)
        else:
            sock.sendall(reply)
        pair.handed_over()
        pair.end.close()

    with Worker(answer) as worker, pytest.raises(NoRing, match=why):
        take_over(worker.offer, anybody)


def test_who_says_the_wrong_half_is_not_the_worker() -> None:
    def answer(sock: socket.socket, said: bytes) -> None:
        pair = make_pair(may_spin=False, area=SMALL)
        hand_over(sock, said, pair, may_spin=False)
        pair.handed_over()
        pair.end.close()

    with Worker(answer) as worker, pytest.raises(NoRing, match="half of the nonce"):
        take_over(worker.offer, anybody)


def test_an_unsealed_memory_is_not_taken() -> None:
    def answer(sock: socket.socket, _said: bytes) -> None:
        with ExitStack() as stack:
            makers = [lambda: memfd(HEADER_BYTES + SMALL, 0)] * 2 + [make_bell] * 2
            fds = [stack.enter_context(descriptor(make)) for make in makers]
            socket.send_fds(sock, [worker.nonce[HALF_BYTES:] + b"\0"], fds)

    with Worker(answer) as worker, pytest.raises(NoRing, match="sealed"):
        take_over(worker.offer, anybody)


def test_descriptors_that_came_are_not_inherited_by_programs() -> None:
    def answer(sock: socket.socket, _said: bytes) -> None:
        pair = make_pair(may_spin=False, area=SMALL)
        hand_over(sock, worker.nonce[HALF_BYTES:], pair, may_spin=False)
        pair.handed_over()
        pair.end.close()

    with Worker(answer) as worker:
        end = take_over(worker.offer, anybody)
    assert not os.get_inheritable(end.fileno())
    end.close()


def test_no_descriptor_left_makes_no_half_of_a_ring() -> None:
    with no_descriptors() as taken:
        for _ in range(7):  # eight are needed
            os.close(taken.pop())
            with pytest.raises(OSError, match="Too many open files"):
                make_pair(may_spin=False, area=SMALL)


def test_who_has_no_descriptor_left_comes_for_no_ring() -> None:
    offer = worker_pb2.RingOffer(socket="eais-ring-nobody", nonce=bytes(32))
    with no_descriptors(), pytest.raises(NoRing, match="Too many open files"):
        take_over(offer, anybody)
    with pytest.raises(NoRing, match="isn't on this host"):
        take_over(offer, anybody)
