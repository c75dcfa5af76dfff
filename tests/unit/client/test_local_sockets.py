"""Where this host's connections go, by the kernel's tables."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eais_client.local_sockets import peers

# Nobody else on this machine dials it.
PLACE = "127.77.13.5"


@contextmanager
def connection(family: socket.AddressFamily, to: str) -> Iterator[socket.socket]:
    with socket.create_server((PLACE, 0)) as server, socket.socket(family) as line:
        line.connect((to, server.getsockname()[1]))
        yield line


@pytest.mark.parametrize(
    ("family", "to"),
    [(socket.AF_INET, PLACE), (socket.AF_INET6, f"::ffff:{PLACE}")],
    ids=["IPv4", "IPv4 by an IPv6 socket, as gRPC has it"],
)
def test_an_open_connection_is_seen_until_it_is_closed(
    family: socket.AddressFamily, to: str
) -> None:
    with connection(family, to):
        assert PLACE in peers()
    assert PLACE not in peers()


def test_without_the_kernels_tables_there_are_none(tmp_path: Path) -> None:
    assert peers([tmp_path / "tcp"]) == frozenset()


def test_addresses_of_ipv6_alone_are_nobodys(tmp_path: Path) -> None:
    table = tmp_path / "tcp6"
    remote = "B80D01200000000000000000010000FF:0050"
    table.write_text(f"  sl  local_address  remote\n   0: {'0' * 32}:1F90 {remote} 01 0:0\n")
    assert peers([table]) == frozenset()
