"""Fakes for what the command line reaches: a pool's peer, processes, a whole outside."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eais.errors import EaisError, make_error
from eais.identity import Identity, Role
from eais.joining import Joined
from eais.net.asking import NetAgent
from eais.rpc.v1 import listener_pb2
from eais_client.brain.choose import choose
from eais_client.cli.main import main
from eais_client.cli.outside import Outside
from eais_client.cli.processes import Process
from eais_client.cli.testing_pool import FakePool
from eais_client.context import Context, ContextStore
from eais_client.instances import Instance
from eais_client.joining import Join
from eais_client.operator_client import OperatorClient
from eais_client.pool_client import OwnVnics, PoolClient
from eais_client.pool_status import CaRoll, CaState, DeviceUse, HostUse, PoolStatus, ShareUse
from eais_client.run.program import Probed
from eais_client.session_states import SessionState
from eais_client.testing.fake_manager import FakeManager
from eais_client.testing.vnics import OWNER
from eais_client.vnic_ends import VnicEnds

CONTEXT = Context("local", "local-5f3a9c1e", "127.64.16.1:40117", "127.64.16.1:40118")
DEVICE = DeviceUse(
    host="local",
    id="cpu0",
    kind="cpu",
    model="Xeon",
    memory_bytes=8 << 30,
    capacity_milli=2000,
    free_milli=1000,
    granularity_milli=125,
    share_limit_milli=2000,
    simulated=False,
    enforcement="cooperative",
    reachable=True,
    health="ok",
    runtimes=("onnxruntime/fp32",),
    shares=(ShareUse("ei-7f3a", 1000, "GRANTED", "default"),),
)
HOST = HostUse("local", reachable=True, isolation=2, isolation_reason="")
WITH_EAIS = Probed(hooked=True, fault="")
NO_PATIENCE_S = 1e-9  # no failure is tried again
CA = CaState("STEADY", 0, 0, datetime(2036, 1, 31, 12, tzinfo=UTC), "ab" * 32)
STATUS = PoolStatus("local-5f3a9c1e", "eais-manager/0.1.0", 1, (DEVICE,), (HOST,), CA)


class FakeProcess:
    """A process that ends when it is told to; `stubborn` ones only when killed."""

    def __init__(self, pid: int = 4242, *, stubborn: bool = False) -> None:
        self.pid = pid
        self.stubborn = stubborn
        self.ended = False
        self.ends_after_waits = -1
        self.signals: list[str] = []

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended; no time passes."""
        self.ends_after_waits -= 1
        self.ended = self.ended or self.ends_after_waits == 0
        return self.ended

    def terminate(self) -> None:
        """End, unless it is stubborn."""
        self.signals.append("TERM")
        self.ended = self.ended or not self.stubborn

    def kill(self) -> None:
        """End."""
        self.signals.append("KILL")
        self.ended = True


@dataclass
class FakeProcesses:
    """The machine's processes: at most one supervisor.

    `on_spawn` is called with what was spawned, to play the part of the pool.
    """

    supervisor: FakeProcess | None = None
    on_spawn: Callable[[FakeProcess], None] = lambda process: None
    spawned: list[tuple[list[str], Mapping[str, str]]] = field(default_factory=list)

    def supervisor_of(self, state_dir: Path) -> Process | None:
        """The supervisor, until it has ended."""
        found = self.supervisor
        return found if found is not None and not found.ended else None

    def spawn(self, command: Sequence[str], log: Path, environ: Mapping[str, str]) -> Process:
        """Note the command; the pool's supervisor runs from now on."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self.spawned.append((list(command), environ))
        process = FakeProcess()
        self.supervisor = process
        self.on_spawn(process)
        return process


@dataclass
class FakeClock:
    """Time that only `sleep` moves; `on_tick` is called at each move."""

    now: float = 0.0
    on_tick: Callable[[float], None] = lambda now: None

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.now += seconds
        self.on_tick(self.now)


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, object]:
        """The object on the last line of standard output."""
        found: dict[str, object] = json.loads(self.out.splitlines()[-1])
        return found


def nobody_to_join(
    address: str, token: str, purpose: Role, *, check_pool: Callable[[str], None]
) -> Joined:
    """A `Join` where no pool is."""
    raise make_error("POOL_UNREACHABLE", f"nobody can be joined at {address}")


class Keyboard(io.StringIO):
    """Standard input: what is in it, from a terminal or from a file."""

    def __init__(self, text: str, *, terminal: bool) -> None:
        super().__init__(text)
        self._terminal = terminal

    def isatty(self) -> bool:
        """Whether a person types it."""
        return self._terminal


class FakeOutside:
    """A user with one context, whose pool is a `FakePool`, and its manager a `FakeManager`.

    `typed` is what standard input holds, from a terminal if `at_terminal`; `pythons` what an
    interpreter says of itself, if it hasn't all that `eais run` wants; `became`: path, arguments
    and environment of each program that `eais run` started; `brought`: by which instance each
    model was sent; `ends` what a network agent makes here: none without one at HOME/net.sock.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environ = {"HOME": str(home), "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": ""}
        self.pool = FakePool()
        self.manager = FakeManager("local", "host-2")
        self.typed = ""
        self.at_terminal = False
        self.processes = FakeProcesses()
        self.clock = FakeClock()
        self.status: PoolStatus | EaisError = STATUS
        self.sessions: tuple[SessionState, ...] | EaisError = ()
        self.brought: list[tuple[str, str]] = []
        self.join: Join = nobody_to_join
        self.replaced_by: list[str] = []
        self.pythons: dict[str, Probed] = {}
        self.became: list[tuple[str, list[str], Mapping[str, str]]] = []
        self.net_found: dict[str, Any] = {"drivers": [], "needs": [], "notes": []}
        self.store = ContextStore.of_environ(self.environ)
        # Nobody answers there, unless a test puts an agent there.
        self.ends = VnicEnds(NetAgent(home / "net.sock", timeout_s=5))

    def know_the_pool(self) -> None:
        """Write the context."""
        self.store.set(CONTEXT)

    def run(self, *argv: str) -> Said:
        """Run `eais` with these arguments."""
        out, err = io.StringIO(), io.StringIO()
        code = main(argv, self.outside(out, err))
        return Said(code, out.getvalue(), err.getvalue())

    def outside(self, out: io.StringIO | None = None, err: io.StringIO | None = None) -> Outside:
        """The seams, all of them fakes."""
        return Outside(
            environ=self.environ,
            stdin=Keyboard(self.typed, terminal=self.at_terminal),
            ask_secret=self._ask_secret,
            stdout=out or io.StringIO(),
            stderr=err or io.StringIO(),
            connect=lambda store, context: self.client(),
            connect_operator=self._operator,
            ask_status=self._ask_status,
            ask_sessions=self._ask_sessions,
            bring_model=self._bring_model,
            roll_ca=self._roll_ca,
            join=self.join,
            processes=lambda: self.processes,
            replace_process=self.replaced_by.extend,
            check_attached=self._check_attached,
            ask_python=lambda interpreter, environ: self.pythons.get(interpreter, WITH_EAIS),
            become=self._become,
            check_net=lambda agent: self.net_found,
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def client(self) -> PoolClient:
        """A client of the pool, as its front-end."""
        vnics = OwnVnics(self.ends, Identity.parse(OWNER))
        return PoolClient(self.pool, vnics, patience_s=NO_PATIENCE_S)

    def _check_attached(self, store: ContextStore, context: Context, name: str) -> None:
        listed = self.client().list()
        choose([one for one in listed if name in ("", one.id)], "owner")

    def _ask_sessions(
        self, store: ContextStore, context: Context, instance: Instance
    ) -> tuple[SessionState, ...]:
        if isinstance(self.sessions, EaisError):
            raise self.sessions
        return self.sessions

    def _bring_model(
        self,
        store: ContextStore,
        context: Context,
        instance: Instance,
        path: str,
        progress: Callable[[int, int], None],
    ) -> listener_pb2.SessionSpec:
        self.brought.append((instance.id, path))
        if not Path(path).is_file():
            raise make_error("NOT_FOUND", f"there is no model {path}")
        progress(1, 1)
        return listener_pb2.SessionSpec(files=[listener_pb2.ModelFile(sha256=b"m" * 32, size=1)])

    def _become(self, path: str, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        self.became.append((path, list(argv), environ))

    def _operator(self, store: ContextStore, context: Context) -> OperatorClient:
        context.management_address()
        return OperatorClient(self.manager, patience_s=NO_PATIENCE_S)

    def _ask_secret(self, prompt: str) -> str:
        if not self.typed:
            raise EOFError
        return self.typed

    def _ask_status(self, store: ContextStore, context: Context) -> PoolStatus:
        if isinstance(self.status, EaisError):
            raise self.status
        return self.status

    def _roll_ca(self, store: ContextStore, context: Context) -> CaRoll:
        """As the manager: a roll that is under way goes on."""
        status = self._ask_status(store, context)
        if status.ca.phase != "STEADY":
            return CaRoll(status.ca, begun=False)
        ca = replace(status.ca, phase="ANNOUNCED", phase_left_s=3600, roll_left_s=7200)
        self.status = replace(status, ca=ca)
        return CaRoll(ca, begun=True)
