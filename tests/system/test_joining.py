"""A pool at an address of its machine's, and a front-end that joins it and works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eais import joining
from eais.errors import EaisError
from eais.identity import Identity, Role
from eais.rpc import client, verbs
from eais.rpc.hello import hello
from eais.rpc.v1 import hosts_pb2, pool_pb2, worker_pb2
from tests.system.stack import Stack, embedded_pool, op

ADDRESS = "127.0.0.83"
CONFIG = f"""
[manager]
bind = "{ADDRESS}"
enrolment_port = 0

[listener]
cpu_cores = 2
"""


def as_operator(stack: Stack, verb: Any, request: Any) -> Any:
    operator = stack.bundle(Identity.operator(stack.pool, "op"))
    with stack.dial(stack.endpoint("management"), operator) as line:
        return client.call(line, verb, request, timeout_s=30, unreachable="POOL_UNREACHABLE")


def token_for(stack: Stack, tenant: str, name: str) -> str:
    asked = hosts_pb2.SetTenantRequest(op_id=op(), tenant=tenant, create=True)
    as_operator(stack, verbs.POOL_ADMIN_SET_TENANT, asked)
    made = hosts_pb2.CreateTokenRequest(op_id=op(), purpose="frontend", tenant=tenant, name=name)
    return str(as_operator(stack, verbs.POOL_ADMIN_CREATE_TOKEN, made).token)


def test_a_front_end_joins_at_the_pools_address_and_has_a_worker_there(tmp_path: Path) -> None:
    with embedded_pool(tmp_path, CONFIG) as stack:
        assert {stack.endpoint(p).address for p in ("user", "management", "enrolment")} == {ADDRESS}
        door = stack.endpoint("enrolment")
        token = token_for(stack, "acme", "laptop")
        joined = joining.join(f"{door.address}:{door.port}", token, Role.FRONTEND)
        assert str(joined.user_plane) == f"{ADDRESS}:{stack.endpoint('user').port}"
        attach = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
        made = stack.ask(verbs.POOL_ATTACH, attach, joined.leaf).instance
        assert (made.tenant, made.frontend, made.state) == ("acme", "laptop", pool_pb2.IN_USE)
        assert (made.vnic.driver, made.vnic.address) == ("host", ADDRESS)
        [worker] = made.workers
        assert worker.endpoint.address == ADDRESS
        first = [worker_pb2.ToWorker(hello=hello("eais-test"))]
        with stack.dial(worker.endpoint, joined.leaf) as line:
            assert next(client.stream(line, verbs.WORKER_STREAM, first)).hello.version
        with pytest.raises(EaisError) as stolen:
            joining.join(f"{door.address}:{door.port}", token, Role.FRONTEND)
        assert stolen.value.reason == "TOKEN"
