"""A confined worker hands rings to clients of its host, and serves calls through them."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from eais.errors import EaisError
from eais.rpc.v1 import supervision_pb2, worker_pb2
from eais.transport.ring.handover import HALF_BYTES, NoRing, take_over
from eais.transport.ring.layout import CONSUMED, HEADER_BYTES, PUBLISHED, READER_SLEEPS
from eais.transport.ring.memory import KEEPS_ORDER
from tests.unit.server.runtime import models
from tests.unit.server.worker.child import WAIT_S, WorkerChild, worker_child
from tests.unit.server.worker.ring_client import RingClient
from tests.unit.server.worker.test_process import serving

pytestmark = pytest.mark.skipif(not KEEPS_ORDER, reason="no rings on this kind of processor")

LARGE = np.arange(3 << 20, dtype=np.float32).reshape(3, -1)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerChild]:
    with serving(tmp_path_factory.mktemp("worker"), threads=2, queue_limit_ms=60_000) as child:
        yield child


@pytest.fixture
def client(worker: WorkerChild) -> Iterator[RingClient]:
    with RingClient(worker) as stream:
        yield stream


def identity() -> bytes:
    """A model that gives back its input."""
    node = helper.make_node("Identity", ["x"], ["y"])
    dims = ["rows", "columns"]
    return models.model(
        node, inputs=[models.info("x", dims=dims)], outputs=[models.info("y", dims=dims)]
    )


def until(condition: Callable[[], bool]) -> None:
    """Wait for it; what it looks at is another process."""
    ends = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def _descriptors(folder: Path) -> Iterator[str]:
    """What each descriptor is, but for those closed meanwhile."""
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield str(path.readlink())


def worker_memory(worker: WorkerChild) -> tuple[int, int]:
    """Descriptors and ring mappings of the worker; a worker hides them from all but root."""
    at = Path("/proc", str(worker.process.pid))
    try:
        kinds = list(_descriptors(at / "fd"))
        maps = (at / "maps").read_text()
    except PermissionError:
        pytest.skip("a worker is seen by root alone")
    return len([k for k in kinds if "eventfd" in k or "eais-ring" in k]), maps.count("eais-ring")


def reason_of_end(stream: RingClient) -> str:
    """Why the stream over the network ended."""
    try:
        while stream.end_of_stream() is not None:
            continue
    except EaisError as error:
        return error.reason
    return "it ended well"


def test_calls_go_through_the_ring_as_they_do_over_the_network(
    worker: WorkerChild, client: RingClient
) -> None:
    session = worker.load(identity())
    before = client.run(session, {"x": LARGE})
    client.switch()
    small = np.array([[1, 2]], np.float32)
    for _ in range(300):
        assert client.run(session, {"x": small})[0].tolist() == [[1, 2]]
    assert client.run(session, {"x": LARGE})[0].tobytes() == before[0].tobytes()
    calls = [(k, client.begin(session, {"x": small + k})) for k in range(200)]
    for k, call in reversed(calls):
        assert client.outputs(call)[0].tolist() == [[1 + k, 2 + k]]


def test_a_call_under_way_goes_on_in_the_ring(worker: WorkerChild, client: RingClient) -> None:
    session = worker.load(identity())
    later: list[worker_pb2.Piece] = []

    def first_half(piece: worker_pb2.Piece) -> bool:
        if piece.offset < LARGE.nbytes // 2:
            return True
        later.append(piece)
        return False

    call = client.begin(session, {"x": LARGE}, wait_with=first_half)
    client.switch()
    for piece in later:
        client.send(pieces=[piece])
    assert client.outputs(call)[0].tobytes() == LARGE.tobytes()


def test_errors_and_cancels_go_through_the_ring(worker: WorkerChild, client: RingClient) -> None:
    endless, quick = worker.load(models.endless()), worker.load(models.relu())
    client.switch()
    ones = {"x": np.ones(2, np.float32)}
    calls = [client.begin(endless, ones) for _ in range(3)]
    client.send(cancels=[worker_pb2.Cancel(call_id=call) for call in calls])
    for call in calls:
        with pytest.raises(EaisError) as caught:
            client.outputs(call)
        assert caught.value.reason == "CANCELLED"
    assert client.failure("0" * 32, ones).reason == "SESSION_UNKNOWN"
    assert client.run(quick, ones)[0].tolist() == [1, 1]


@pytest.mark.parametrize("adoption", [{"ring": "off"}, {"transport": "h2"}])
def test_no_ring_where_there_is_to_be_none(tmp_path: Path, adoption: dict[str, str]) -> None:
    with serving(tmp_path, **adoption) as child, RingClient(child) as stream:
        assert stream.offer() == worker_pb2.RingOffer()
        session = child.load(models.relu())
        assert stream.run(session, {"x": np.ones(2, np.float32)})[0].tolist() == [1, 1]


def test_a_policy_that_is_none_is_no_adoption(tmp_path: Path) -> None:
    with worker_child(tmp_path) as child:
        child.heard("spare")
        assert child.adopt(ring="sometimes").error.reason == "ARGUMENT"


def test_ring_begins_without_a_ring(client: RingClient) -> None:
    client.send(ring_begins=True)
    assert reason_of_end(client) == "MALFORMED_MESSAGE"


def test_nothing_follows_on_the_stream(client: RingClient) -> None:
    end = client.switch()
    client.end = None
    client.send(cancels=[worker_pb2.Cancel(call_id=1)])
    assert reason_of_end(client) == "MALFORMED_MESSAGE"
    end.close()


def test_a_ring_is_offered_once_to_a_stream(worker: WorkerChild, client: RingClient) -> None:
    offer = client.offer()
    client.send(ring_wanted=True)
    session = worker.load(models.relu())
    assert client.run(session, {"x": np.ones(2, np.float32)})[0].tolist() == [1, 1]
    end = take_over(offer, lambda _peer: True)
    with pytest.raises(NoRing, match=r"refused|broke off|this host"):
        take_over(offer, lambda _peer: True, timeout_s=0.3)
    end.close()


def say(offer: worker_pb2.RingOffer, said: bytes) -> bytes:
    """Connect and say something; what the worker says."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(WAIT_S)
        sock.connect("\0" + offer.socket)
        sock.sendall(said)
        try:
            return sock.recv(100)
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("said", [bytes(HALF_BYTES), b"x", bytes(4000)])
def test_who_does_not_know_the_nonce_gets_nothing_and_takes_nothing_away(
    client: RingClient, said: bytes
) -> None:
    offer = client.offer()
    assert say(offer, said) == b""
    assert say(offer, offer.nonce[HALF_BYTES:]) == b""
    take_over(offer, lambda _peer: True).close()


def test_who_connects_and_says_nothing_keeps_nobody_out(client: RingClient) -> None:
    offer = client.offer()
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(8)]
        for sock in silent:
            sock.settimeout(WAIT_S)
            sock.connect("\0" + offer.socket)
        take_over(offer, lambda _peer: True).close()
        assert silent[0].recv(1) == b""  # sent away in time


ANOTHER_USER = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sock = socket.socket(socket.AF_UNIX)
sock.settimeout(30)
sock.connect("\\0" + sys.argv[1])
try:
    sock.sendall(bytes.fromhex(sys.argv[2]))
    print(len(sock.recv(100)))
except OSError:
    print(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize(("ring", "given"), [("", 0), ("on", HALF_BYTES + 1)])
def test_another_user_gets_a_ring_only_by_policy(tmp_path: Path, ring: str, given: int) -> None:
    with serving(tmp_path, ring=ring) as child, RingClient(child) as stream:
        offer = stream.offer()
        arguments = [offer.socket, offer.nonce[:HALF_BYTES].hex()]
        said = subprocess.run(
            [sys.executable, "-I", "-c", ANOTHER_USER, *arguments],
            check=True,
            capture_output=True,
            text=True,
            cwd="/",
        )
        assert int(said.stdout) == given


# whatever a client writes


def garbage(memory: memoryview) -> None:
    memory[HEADER_BYTES : HEADER_BYTES + (64 << 10)] = secrets.token_bytes(64 << 10)
    memory.cast("Q")[PUBLISHED] = 64 << 10


def nowhere(memory: memoryview) -> None:
    memory.cast("Q")[PUBLISHED] = 1 << 50


HOSTILE: dict[str, Callable[[memoryview], None]] = {"garbage": garbage, "nowhere": nowhere}


def overwrite(client: RingClient, incoming: int, write: Callable[[memoryview], None]) -> None:
    """Write into the ring's memory behind its rules; ring the worker's bell."""
    end = client.end
    assert end is not None
    memory = memoryview(end._mapped[incoming])
    write(memory)
    memory.release()
    end._other.ring()


@pytest.mark.parametrize("how", HOSTILE)
def test_a_client_that_breaks_the_ring_ends_its_stream_alone(
    worker: WorkerChild, client: RingClient, how: str
) -> None:
    session = worker.load(models.relu())
    ones = {"x": np.ones(2, np.float32)}
    with RingClient(worker) as hostile:
        hostile.switch()
        assert hostile.run(session, ones)[0].tolist() == [1, 1]
        overwrite(hostile, 1, HOSTILE[how])
        assert reason_of_end(hostile) == "MALFORMED_MESSAGE"
    client.switch()
    assert client.run(session, ones)[0].tolist() == [1, 1]


def test_a_client_that_says_it_read_what_was_not_sent(
    worker: WorkerChild, client: RingClient
) -> None:
    session = worker.load(identity())
    client.switch()

    def far_ahead(memory: memoryview) -> None:
        memory.cast("Q")[CONSUMED] = 1 << 40

    overwrite(client, 0, far_ahead)
    client.begin(session, {"x": LARGE})
    assert reason_of_end(client) == "MALFORMED_MESSAGE"


def test_messages_that_are_none_end_the_stream(client: RingClient) -> None:
    end = client.switch()
    end.send([b"\xff" * 30])
    assert reason_of_end(client) == "MALFORMED_MESSAGE"


def test_a_client_that_flips_its_flags_all_the_time_gets_right_answers(
    worker: WorkerChild, client: RingClient
) -> None:
    session = worker.load(identity())
    client.switch()
    for k in range(200):
        overwrite(client, 0, lambda memory: memory.cast("Q").__setitem__(READER_SLEEPS, 1))
        assert client.run(session, {"x": np.array([[k, 0]], np.float32)})[0].tolist() == [[k, 0]]


# ends


def test_nothing_is_left_of_a_ring_when_its_client_goes(
    worker: WorkerChild, client: RingClient
) -> None:
    session = worker.load(models.endless())
    before = worker_memory(worker)
    for _ in range(3):
        with RingClient(worker) as other:
            other.switch()
            assert worker_memory(worker)[1] > before[1]
            other.begin(session, {"x": np.ones(2, np.float32)})
            other.send(cancels=[worker_pb2.Cancel(call_id=99)])
    until(lambda: worker_memory(worker) == before)
    quick = worker.load(models.relu())
    assert client.run(quick, {"x": np.ones(2, np.float32)})[0].tolist() == [1, 1]


def test_an_offer_that_nobody_comes_for_leaves_nothing(
    worker: WorkerChild, client: RingClient
) -> None:
    before = worker_memory(worker)
    offer = client.offer()
    client.close()
    until(lambda: say_or_nothing(offer) == b"")
    until(lambda: worker_memory(worker) == before)


def say_or_nothing(offer: worker_pb2.RingOffer) -> bytes:
    """As `say`; nothing if nobody takes it while none is offered."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(0.2)
        sock.connect("\0" + offer.socket)
        sock.sendall(offer.nonce[:HALF_BYTES])
        try:
            return sock.recv(100)
        except OSError:
            return b""


def test_a_worker_that_is_killed_ends_the_stream_and_what_it_said_is_still_there(
    tmp_path: Path,
) -> None:
    with serving(tmp_path) as child, RingClient(child) as stream:
        session = child.load(models.relu())
        stream.switch()
        ones = {"x": np.ones(2, np.float32)}
        calls = [stream.begin(session, ones) for _ in range(5)]
        first = stream.answer(calls[0])
        assert not first.HasField("error")
        os.kill(child.process.pid, signal.SIGKILL)
        assert reason_of_end(stream) == "WORKER_DIED"
        end = stream.end
        assert end is not None
        while end.take() is not None:
            continue
        end.send([bytes(100)])  # to nobody


def test_a_drain_goes_through_the_ring_to_its_last_answer(tmp_path: Path) -> None:
    with serving(tmp_path, threads=2) as child, RingClient(child) as stream:
        session, quick = child.load(models.endless()), child.load(models.relu())
        stream.switch()
        ones = {"x": np.ones(2, np.float32)}
        running = stream.begin(session, ones, timeout_us=1_000_000)
        stream.run(quick, ones)
        child.tell(drain=supervision_pb2.Drain(grace_ms=30_000))
        message = stream.receive()
        assert message is not None
        assert message.draining
        assert stream.failure(session, ones).reason == "DRAINING"
        with pytest.raises(EaisError) as caught:
            stream.outputs(running)
        assert caught.value.reason == "DEADLINE_EXCEEDED"
        assert stream.end_of_stream() is None
        assert child.exit_code() == 0


def test_a_client_that_sends_no_more_gets_the_answers_that_it_waits_for(
    worker: WorkerChild, client: RingClient
) -> None:
    session = worker.load(identity())
    client.switch()
    calls = [client.begin(session, {"x": np.array([[k, k]], np.float32)}) for k in range(20)]
    client.finish()
    for k, call in enumerate(calls):
        assert client.outputs(call)[0].tolist() == [[k, k]]
    assert client.end_of_stream() is None
