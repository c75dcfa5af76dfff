from __future__ import annotations

import socket

import pytest

from eais.bind_fault import cannot_bind
from eais.errors import ConfigError
from eais.ports import check_ports, to_try


@pytest.mark.parametrize(
    ("user", "management", "says"),
    [
        (-1, 0, "user_port = -1: must be 1 to 65535, or 0"),
        (65536, 0, "user_port = 65536"),
        (0, 70000, "management_port = 70000"),
        (7000, 7000, "management_port = 7000: user_port and management_port must differ"),
    ],
)
def test_what_is_no_port_is_said_by_its_key(user: int, management: int, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_ports(user_port=user, management_port=management)
    assert caught.value.reason == "PORT"
    assert caught.value.message.startswith(says)


@pytest.mark.parametrize("ports", [(0, 0), (1, 65535), (0, 7000)])
def test_ports(ports: tuple[int, int]) -> None:
    check_ports(user_port=ports[0], management_port=ports[1])


def test_a_port_that_is_set_has_no_second_choice() -> None:
    assert list(to_try(7000, 8000)) == [7000]
    assert list(to_try(0, 8000)) == [8000, 0]
    assert list(to_try(0, 0)) == [0]


def test_why_a_port_cannot_be_had() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = cannot_bind("user_port", "127.0.0.1", port)
    assert refused.reason == "PORT"
    want = f"user_port = {port}: can't be bound at 127.0.0.1: Address already in use"
    assert refused.message == want
    free = cannot_bind("user_port", "127.0.0.1", port).message
    assert free == f"user_port = {port}: can't be bound at 127.0.0.1"


def test_an_address_of_another_machine_is_said() -> None:
    found = cannot_bind("user_port", "192.0.2.1", 0)
    assert found.reason == "ADDRESS"
    assert found.message == "192.0.2.1 isn't an address of this machine"
