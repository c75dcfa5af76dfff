"""A real embedded pool in a temporary directory, and identities to call it with."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import grpc

from benchmarks.faults.processes import titled
from eais import channel, tls
from eais.credentials import client_credentials
from eais.errors import EaisError
from eais.identity import Identity
from eais.rpc import client, verbs
from eais.rpc.v1 import common_pb2, hosts_pb2, pool_pb2
from eais_client.context import Context, ContextStore
from eais_client.frontend import close_all
from eais_pool.authority import Authority

T = TypeVar("T")
WAIT_S = 30.0


def op() -> str:
    """A new op_id."""
    return str(uuid.uuid4())


def eventually(question: Callable[[], T | None], what: str, within_s: float = WAIT_S) -> T:
    """The first answer that is not None; AssertionError after `within_s`."""
    end, pause = time.monotonic() + within_s, threading.Event()
    while time.monotonic() < end:
        answer = question()
        if answer is not None:
            return answer
        pause.wait(0.02)
    raise AssertionError(f"not within {within_s} s: {what}")


@dataclass(frozen=True)
class Stack:
    """A running embedded pool: state directory, user's config directory, supervisor."""

    state: Path
    config: Path
    supervisor: subprocess.Popen[bytes]

    @property
    def ready(self) -> dict[str, Any]:
        """What the manager says of itself."""
        return dict(json.loads((self.state / "ready.json").read_text()))

    @property
    def pool(self) -> str:
        """The pool's trust domain."""
        return str(self.ready["pool"])

    @property
    def authority(self) -> Authority:
        """The pool's CA, to make any identity."""
        return Authority.load(self.state / "ca")

    def endpoint(self, plane: str) -> common_pb2.Endpoint:
        """The manager's "user" or "management" plane."""
        return common_pb2.Endpoint(**self.ready[plane])

    def bundle(self, identity: Identity, authority: Authority | None = None) -> tls.Bundle:
        """A fresh leaf for `identity`, trusting this pool whoever signed it."""
        now = datetime.datetime.now(datetime.UTC)
        made = (authority or self.authority).bundle(identity, now)
        return replace(made, ca_pem=self.authority.ca_pem)

    def dial(self, endpoint: common_pb2.Endpoint, bundle: tls.Bundle | None) -> grpc.Channel:
        """A channel with that identity, or with no client certificate at all."""
        if bundle is None:
            made = grpc.ssl_channel_credentials(root_certificates=self.authority.ca_pem)
        else:
            made = client_credentials(bundle)
        target = f"{endpoint.address}:{endpoint.port}"
        return grpc.secure_channel(target, made, channel.client_options(endpoint.server_name))

    def frontend(self, tenant: str = "default", name: str = "owner") -> tls.Bundle:
        """A front-end's leaf; the default is the pool's owner."""
        return self.bundle(Identity.frontend(self.pool, tenant, name))

    def ask(self, verb: Any, request: Any, bundle: tls.Bundle | None = None) -> Any:
        """Call a verb of the manager as `bundle` (default: the owner)."""
        with self.dial(self.endpoint("user"), bundle or self.frontend()) as made:
            return client.call(made, verb, request, timeout_s=30, unreachable="POOL_UNREACHABLE")

    def status(self) -> hosts_pb2.PoolStatusReply:
        """The pool as its operator sees it."""
        operator = self.bundle(Identity.operator(self.pool, "test"))
        with self.dial(self.endpoint("management"), operator) as made:
            return client.call(
                made,
                verbs.POOL_ADMIN_STATUS,
                hosts_pb2.PoolStatusRequest(),
                timeout_s=10,
                unreachable="POOL_UNREACHABLE",
            )

    def joined(self) -> bool | None:
        """True once a listener has joined, None before."""
        if self.supervisor.poll() is not None:
            raise AssertionError(f"the supervisor ended: {self.logs()}")
        try:
            hosts = self.status().hosts
        except (EaisError, OSError, KeyError, json.JSONDecodeError):
            return None
        return True if any(host.reachable for host in hosts) else None

    def instance(self, ident: str, tenant: str = "default") -> pool_pb2.Instance:
        """An instance as the manager describes it."""
        request = pool_pb2.DescribeRequest(instance=ident)
        reply: pool_pb2.InstanceReply = self.ask(
            verbs.POOL_DESCRIBE, request, self.frontend(tenant)
        )
        return reply.instance

    def worker_pid(self, ident: str) -> int | None:
        """The process that serves the instance, if there is one."""
        found = titled(self.supervisor.pid, f"eais-worker {ident}")
        return found.pid if found else None

    @property
    def manager_pid(self) -> int:
        """The process of the manager, a child of the supervisor."""
        parent = self.supervisor.pid
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"eais-manager"):
                return int(child)
        raise AssertionError("there is no manager")

    def write_context(self) -> None:
        """The context by which the owner's programs find this pool."""
        user, management = self.endpoint("user"), self.endpoint("management")
        context = Context(
            "local",
            self.pool,
            f"{user.address}:{user.port}",
            f"{management.address}:{management.port}",
            str(self.state),
        )
        ContextStore(self.config).set(context, make_current=True)

    def logs(self) -> str:
        """The ends of all logs, for a failure's message."""
        ends = (f"== {f.name}\n{f.read_text()[-3000:]}" for f in sorted(self.state.glob("*.log")))
        return "\n".join(ends)


class Host:
    """A further back-end of a pool on this machine, at an address of its own (127.0.0.N).

    Attributes:
        name: as its certificate says.
        directory: the listener's own.
    """

    def __init__(self, stack: Stack, directory: Path, name: str, address: str) -> None:
        self.name = name
        self.directory = directory
        self._stack = stack
        self._address = address
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """Its listener."""
        assert self._process is not None, f"{self.name} isn't started"
        return self._process

    def start(self) -> None:
        """Start its listener, or start it again, and wait until the pool can reach it."""
        config = self.directory.parent / f"{self.name}.toml"
        config.write_text("[listener]\ncpu_cores = 2\n")
        command = [sys.executable, "-m", "eais_server.listener", "--bind", self._address]
        command += ["--state-dir", str(self.directory), "--config", str(config)]
        command += ["--pool-file", str(self.directory / "pool.json")]
        with (self._stack.state / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
        self.await_reachable()

    def join(self) -> None:
        """Give it an identity, and tell it where the manager is."""
        identity = Identity.listener(self._stack.pool, self.name)
        tls.save_bundle(self.directory / "identity.pem", self._stack.bundle(identity))
        ready = (self._stack.state / "ready.json").read_bytes()
        (self.directory / "pool.json").write_bytes(ready)

    def reachable(self) -> bool:
        """Whether the pool can reach it now."""
        return any(use.host == self.name and use.reachable for use in self._stack.status().hosts)

    def await_reachable(self) -> None:
        """Wait until the pool can reach it."""
        eventually(lambda: self.reachable() or None, f"{self.name} is reachable")

    def stop(self) -> None:
        """End its listener as an operator does; its leases stay on its disk."""
        self.process.terminate()
        self.process.wait(20)


@contextlib.contextmanager
def further_host(stack: Stack, root: Path, name: str, address: str) -> Iterator[Host]:
    """A listener of `stack`'s pool below `root`, of two cores, until the block ends.

    `address`: 127.0.0.N, other for each.
    """
    host = Host(stack, root / name, name, address)
    host.join()
    try:
        host.start()
        yield host
    finally:
        host.stop()


@contextlib.contextmanager
def embedded_pool(
    root: Path,
    config: str = "[listener]\ncpu_cores = 4\n",
    *,
    leaf_life_s: float | None = None,
    profile_after_s: float = 0.0,
    failpoints: Path | None = None,
) -> Iterator[Stack]:
    """Start a pool below `root`, wait for its listener, and end it afterwards.

    `leaf_life_s`: of the pool's leaves; None as in the configuration. `profile_after_s`: as in
    the configuration; models aren't measured unasked here, beside what is tested. `failpoints`:
    the file that names the point at which the manager dies.
    """
    state, config_dir = root / "state", root / "config"
    owner = config_dir / "contexts" / "local"
    for folder in (state, owner):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = root / "pool.toml"
    file.write_text(config)
    places = ["--state-dir", str(state), "--owner-dir", str(owner), "--config", str(file)]
    places += ["--test-leaf-life-s", str(leaf_life_s)] if leaf_life_s else []
    places += ["--test-failpoints", str(failpoints)] if failpoints else []
    with (state / "supervisor.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "eais_pool.supervisor", *places],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith("EAIS_")},
                "EAIS_PROFILE_AFTER_S": f"{profile_after_s:g}",
            },
        )
    stack = Stack(state, config_dir, process)
    try:
        try:
            eventually(stack.joined, "a listener joins")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{stack.logs()}") from None
        stack.write_context()
        yield stack
    finally:
        close_all()
        process.terminate()
        process.wait(20)
