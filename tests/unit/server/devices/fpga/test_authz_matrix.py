"""Every method × every caller whose it isn't, from the descriptors, on a board's own sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from eais.errors import EaisError
from eais.rpc.v1 import fpga_pb2
from eais_server.devices.fpga import framing, management, user
from eais_server.devices.fpga.boards import SimulatedBoard
from eais_server.devices.fpga.client import UserFunction
from tests.unit.server.devices.fpga.rig import (
    MANAGEMENT_KINDS,
    USER_KINDS,
    Bench,
    floats,
    model_image,
    request,
)

M, U = fpga_pb2.ManagementRequest, fpga_pb2.UserRequest
# What names a thing of a share, in messages of the user function.
NAMES = ("buffer", "input", "output", "run")


def fields_of(kind: str) -> list[str]:
    found = U.DESCRIPTOR.fields_by_name[kind].message_type
    return [field.name for field in found.fields] if found else []


NAMING = [kind for kind in USER_KINDS if set(fields_of(kind)) & set(NAMES)]


@pytest.fixture
def tenants(board: SimulatedBoard) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two shares, each on its region; the second has many buffers, the first one."""
    image = model_image("mul_1")
    socks = []
    for region in range(2):
        board.management.load(region, image)
        socks.append(board.connect(region, f"tenant-{region}"))
    for sock, count in zip(socks, (1, 6), strict=True):
        function = UserFunction(sock)
        for _ in range(count):
            function.allocate(4096)[1].close()
    yield socks[0], socks[1]
    for sock in socks:
        sock.close()


def answer(sock: socket.socket, data: bytes, fd: int | None = None) -> fpga_pb2.UserReply:
    """What is said to these bytes; errors have the same place in both functions' replies."""
    socket.send_fds(sock, [data], [] if fd is None else [fd])
    reply, got = framing.receive(sock)
    assert got is None
    return fpga_pb2.UserReply.FromString(reply)


def test_the_tables_are_the_descriptors() -> None:
    assert sorted(management.VERBS) == sorted(MANAGEMENT_KINDS)
    assert sorted(user.VERBS) == sorted(USER_KINDS)


def test_the_two_functions_have_no_number_in_common() -> None:
    numbers = [{f.number for f in kind.DESCRIPTOR.fields} for kind in (M, U)]
    assert not numbers[0] & numbers[1]


@pytest.mark.parametrize("kind", USER_KINDS)
def test_no_user_method_can_name_a_region_or_a_share(kind: str) -> None:
    assert not {"region", "share", "device", "board"} & set(fields_of(kind))


@pytest.mark.parametrize("with_fd", [False, True])
@pytest.mark.parametrize("kind", MANAGEMENT_KINDS)
def test_a_tenant_reaches_for_management(
    board: SimulatedBoard, tenants: tuple[socket.socket, socket.socket], kind: str, with_fd: bool
) -> None:
    before = board.management.state()
    for region in (0, 1):
        fields = {"region": region} if kind != "read_state" else {}
        if kind == "inject":
            fields["fault"] = fpga_pb2.VANISH
        reply = answer(tenants[0], request(M, kind, **fields), 0 if with_fd else None)
        assert reply.error.reason == "PERMISSION_DENIED"
        assert kind in reply.error.message
    assert board.management.state() == before


@pytest.mark.parametrize("kind", MANAGEMENT_KINDS)
def test_a_tenant_hides_management_behind_a_method_of_its_own(
    board: SimulatedBoard, tenants: tuple[socket.socket, socket.socket], kind: str
) -> None:
    before = board.management.state()
    data = request(U, "status") + request(M, kind)
    assert answer(tenants[0], data).error.reason == "PERMISSION_DENIED"
    assert board.management.state() == before


@pytest.mark.parametrize("kind", USER_KINDS)
def test_management_has_no_user_methods(kind: str) -> None:
    bench = Bench()
    bench.ready()
    reply = bench.raw_manage(request(U, kind))
    assert reply.error.reason == "PERMISSION_DENIED"
    assert kind in reply.error.message


@pytest.mark.parametrize("kind", NAMING)
def test_what_is_another_tenants_is_not_there(
    tenants: tuple[socket.socket, socket.socket], kind: str
) -> None:
    """The other has a buffer 5; nobody has a buffer 99: one answer for both."""
    told = []
    for number in (5, 99):
        fields = {name: number for name in fields_of(kind) if name in NAMES}
        told.append(answer(tenants[0], request(U, kind, **fields)).error)
    assert told[0] == told[1]
    assert told[0].reason == "NOT_FOUND"


@pytest.mark.parametrize("kind", ["write", "read", "free"])
def test_the_same_number_is_ones_own_buffer(
    tenants: tuple[socket.socket, socket.socket], kind: str
) -> None:
    assert not answer(tenants[0], request(U, kind, buffer=1)).HasField("error")
    theirs = UserFunction(tenants[1])
    theirs.write(1, 0, 4096)


def test_a_run_of_another_tenant_is_not_there() -> None:
    bench = Bench()
    bench.ready(0, "a")
    digest = bench.ready(1, "b")
    run = bench.start(1, digest, {"x": floats(1)}).number
    assert bench.use(0, "wait", run=run, timeout_ms=0).error.reason == "NOT_FOUND"


@pytest.mark.parametrize("kind", USER_KINDS)
def test_a_share_that_ended_reaches_nothing(
    board: SimulatedBoard, tenants: tuple[socket.socket, socket.socket], kind: str
) -> None:
    board.management.close_user(0)
    after = board.management.state()
    with pytest.raises(BrokenPipeError):
        tenants[0].sendall(request(U, kind))
    assert board.management.state() == after


@pytest.mark.parametrize(
    "data", [b"\xff\xff", b"\x00", b"\x08\x01", request(U, "status")[:1], b"\xfa\x01\x00"]
)
def test_what_is_no_request_is_refused_and_the_socket_goes_on(
    tenants: tuple[socket.socket, socket.socket], data: bytes
) -> None:
    assert answer(tenants[0], data).error.reason == "MALFORMED_MESSAGE"
    assert answer(tenants[0], request(U, "status")).status.share == "tenant-0"


def test_a_packet_that_is_too_long_ends_its_own_share_alone(
    board: SimulatedBoard, tenants: tuple[socket.socket, socket.socket]
) -> None:
    tenants[0].sendall(bytes(framing.MAX_MESSAGE_BYTES + 1))
    assert tenants[0].recv(1) == b""
    assert UserFunction(tenants[1]).status().share == "tenant-1"
    assert [region.share for region in board.management.state().regions] == ["", "tenant-1"]


def test_two_descriptors_at_once_end_the_share(
    board: SimulatedBoard, tenants: tuple[socket.socket, socket.socket]
) -> None:
    socket.send_fds(tenants[0], [request(U, "status")], [0, 1])
    assert tenants[0].recv(1) == b""
    assert board.management.state().regions[0].share == ""


@pytest.mark.parametrize("end", ["stream", "file"])
def test_a_user_function_is_served_on_a_packet_socket_alone(
    board: SimulatedBoard, end: str
) -> None:
    pair: Any = socket.socketpair()
    with pair[0], pair[1], socket.socket(socket.AF_INET) as other:
        wrong = pair[0] if end == "stream" else other
        with pytest.raises(EaisError) as caught:
            board.management.open_user(0, "a", wrong)
    assert caught.value.reason == "MALFORMED_MESSAGE"
    assert board.management.state().regions[0].share == ""
