"""How a host's network agent is asked, and what becomes of one that isn't as it should be."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eais.errors import ConfigError, EaisError, IdentityError, UsageError
from eais.net.asking import MAX_PACKET_BYTES, NetAgent
from eais.net.plan import Side, VnicKey
from eais.rpc.v1 import net_pb2

KEY = VnicKey("pool", "ei-1", "rack1", Side.BACKEND)
Answer = Callable[[bytes], bytes | None]


@contextmanager
def answering(path: Path, answer: Answer) -> Iterator[NetAgent]:
    """An agent that answers one question; None: it closes the connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(str(path))
        door.listen()

        def serve() -> None:
            line, _ = door.accept()
            with line:
                said = answer(line.recv(MAX_PACKET_BYTES + 1))
                if said is not None:
                    line.send(said)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield NetAgent(path, timeout_s=5)
        finally:
            thread.join()


def test_a_question_is_a_packet_and_so_is_its_answer(tmp_path: Path) -> None:
    asked: list[net_pb2.NetRequest] = []

    def answer(packet: bytes) -> bytes:
        asked.append(net_pb2.NetRequest.FromString(packet))
        return net_pb2.NetReply(done=net_pb2.NetDone()).SerializeToString()

    with answering(tmp_path / "a", answer) as agent:
        agent.connect(KEY, {4002, 4001})
    assert asked[0].connect.ports == [4001, 4002]
    assert asked[0].connect.key.host == "rack1"


def test_what_it_says_is_wrong_is_raised_as_it_said_it(tmp_path: Path) -> None:
    fault = net_pb2.NetFault(reason="NET_PLAN", message="it is for another", hint="ask anew")
    said = net_pb2.NetReply(fault=fault).SerializeToString()
    with (
        answering(tmp_path / "a", lambda _: said) as agent,
        pytest.raises(IdentityError, match="it is for another") as caught,
    ):
        agent.create(net_pb2.SignedNetPlan())
    assert caught.value.hint == "ask anew"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (None, "it ended before it answered"),
        (b"\xff\xff", "its answer can't be read"),
        (net_pb2.NetReply(done=net_pb2.NetDone()).SerializeToString(), "with done, not offer"),
        (net_pb2.NetReply(offer=net_pb2.NetOffer()).SerializeToString()[:0], "it ended"),
    ],
)
def test_an_agent_that_answers_nonsense_is_named(
    tmp_path: Path, said: bytes | None, why: str
) -> None:
    with answering(tmp_path / "a", lambda _: said) as agent, pytest.raises(ConfigError) as caught:
        agent.offer()
    assert caught.value.reason == "NET_AGENT"
    assert why in caught.value.message
    assert str(tmp_path / "a") in caught.value.message


def test_nobody_there_is_said_with_what_would_help(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no network agent answers at") as caught:
        NetAgent(tmp_path / "none").status()
    assert caught.value.hint == "start it on this host: eais net agent"


def test_one_that_keeps_silent_is_not_waited_for_long(tmp_path: Path) -> None:
    over = threading.Event()

    def answer(packet: bytes) -> None:
        over.wait(5)

    with answering(tmp_path / "a", answer) as agent:
        with pytest.raises(EaisError) as caught:
            NetAgent(agent.path, timeout_s=0.05).destroy(KEY)
        over.set()
    assert "no answer within 0.05 s" in caught.value.message


def test_a_question_that_is_too_large_is_not_sent(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bytes, and 65536 are the most"):
        NetAgent(tmp_path / "a").create(net_pb2.SignedNetPlan(plan=b"x" * MAX_PACKET_BYTES))


def test_a_queue_that_is_full_is_waited_at(tmp_path: Path) -> None:
    """A connection that can't be queued is refused at once (EAGAIN), whatever the timeout is."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as first,
    ):
        door.bind(str(tmp_path / "a"))
        door.listen(0)
        first.connect(str(tmp_path / "a"))
        with pytest.raises(ConfigError, match=r"no answer within 0\.05 s"):
            NetAgent(tmp_path / "a", timeout_s=0.05).offer()

        def serve() -> None:
            door.accept()[0].close()
            line, _ = door.accept()
            with line:
                line.recv(MAX_PACKET_BYTES)
                line.send(net_pb2.NetReply(offer=net_pb2.NetOffer(agent="a1")).SerializeToString())

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            assert NetAgent(tmp_path / "a", timeout_s=5).offer().agent == "a1"
        finally:
            thread.join()


def test_more_that_does_not_come_is_not_asked_for_again(tmp_path: Path) -> None:
    said = net_pb2.NetReply(status=net_pb2.NetStatus(more=True)).SerializeToString()
    with (
        answering(tmp_path / "a", lambda _: said) as agent,
        pytest.raises(ConfigError, match="says that there is more, and doesn't say what"),
    ):
        agent.status()
