"""Several hosts in one pool: where instances are, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from tests.system.stack import Host, Stack, embedded_pool, further_host, op

CONFIG = "[listener]\ncpu_cores = 1\n"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with embedded_pool(tmp_path_factory.mktemp("pool"), CONFIG) as made:
        yield made


@pytest.fixture(scope="module")
def hosts(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Host]]:
    root: Path = tmp_path_factory.mktemp("hosts")
    with (
        further_host(stack, root, "h2", "127.0.0.2") as second,
        further_host(stack, root, "h3", "127.0.0.3") as third,
    ):
        yield second, third


def attached(stack: Stack, type: str, tenant: str = "default") -> pool_pb2.Instance:
    request = pool_pb2.AttachRequest(op_id=op(), type=type)
    reply: pool_pb2.InstanceReply = stack.ask(verbs.POOL_ATTACH, request, stack.frontend(tenant))
    return reply.instance


def test_instances_are_where_there_is_room(stack: Stack, hosts: tuple[Host, Host]) -> None:
    made = [attached(stack, type) for type in ("cpu.2", "cpu.1", "cpu.1", "cpu.1")]
    # The one core of the pool's own host goes before a piece of two.
    assert [each.host for each in made] == ["h2", "local", "h3", "h3"]
    del made[1]
    assert [(each.vnic.driver, each.vnic.address) for each in made] == [
        ("host", "127.0.0.2"),
        ("host", "127.0.0.3"),
        ("host", "127.0.0.3"),
    ]
    ports = [each.workers[0].endpoint.port for each in made]
    assert len(set(ports[1:])) == 2
