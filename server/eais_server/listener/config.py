"""The listener's settings: flag > `EAIS_*` variable > file's `[listener]` table > default."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eais.ports import check_ports
from eais.simulated import parse_simulated, simulated_boards
from eais.telemetry.logs import format_of
from eais_server.supervision import Limits

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """All that can be set of a listener; ValueError names what can't be.

    Attributes:
        bind: the address of both planes; "": beside an embedded pool's manager.
        user_port, management_port: of that plane; 0: the kernel chooses one, which is kept.
        metrics_port: of the metrics, on 127.0.0.1; 0: the kernel chooses one, which is kept.
        log_format: "text" or "json", of the workers too.
        store_limit_bytes: of the model store, uploads included.
        tenant_store_bytes: of it for one tenant; 0: all of it.
        tenant_uploads: files that one tenant may send at the same time; more wait.
        model_max_bytes: of one model with its external data.
        sessions_max: of one instance.
        session_idle_s: after which a session that nobody holds is dropped.
        spares: workers that wait to be adopted.
        spawn_timeout_s, adopt_timeout_s, load_timeout_s: after which a worker that starts,
            binds or loads is killed.
        heartbeat_timeout_s: of silence, after which a worker that waits or serves is looked at
            once more, 0.4 s later, and killed; it speaks every 0.25 s. While it loads: 5 s at
            least. One that waits for a CPU meanwhile: ten times as long.
        device_check_s: for a device that isn't the CPU to answer a known model, its runtime's
            start included; after that it is bad.
        drain_grace_s: for calls in flight when the listener is told to end.
        first_message_timeout_s: for the first chunk of a push.
        chunk_timeout_s: for each later one; what was sent is kept as long to be gone on with.
        cpu_cores: how many to offer; 0: all that the listener may run on.
        simulate: devices to simulate, such as "gpu=2,npu=1,fpga=1"; "board=1" is an FPGA board
            with shell and role; "": none.
        fpga_images: the folder of the role images that boards may load, an absolute path.
        fpga_keys: files of the public keys whose images boards take: absolute paths, with commas
            between them.
        isolation: the level that workers must have, 1 or 2; 0: the highest that this host gives
            and its devices work with.
        worker_memory_bytes: of each worker, its programs included; 0: what its share has.
        worker_calls: that may wait at a worker, and of one stream be unanswered; more are refused.
        worker_bytes: of the inputs of all calls that a worker hasn't answered.
        queue_limit_ms: that calls wait at a worker: what would fill four fifths of it is refused.
        quarantine_h: for how long a model that killed workers isn't loaded again.
        transport: what workers serve the data stream by: "h2" or "grpcio", both of which speak
            gRPC, without rings. "auto" is h2, and a ring for clients of the same host where the
            instance's policy lets them; so is "ring", which is for clients to insist on.
        net_agent: the socket of this host's network agent, an absolute path; "": the usual one
            (`/run/eais/net.sock`), if it is there.
    """

    bind: str = ""
    user_port: int = 0
    management_port: int = 0
    metrics_port: int = 0
    log_format: str = "text"
    store_limit_bytes: int = 20 * _GIB
    tenant_store_bytes: int = 0
    tenant_uploads: int = 8
    model_max_bytes: int = 2 * _GIB
    sessions_max: int = 256
    session_idle_s: float = 600.0
    spares: int = 1
    spawn_timeout_s: float = 60.0
    adopt_timeout_s: float = 10.0
    load_timeout_s: float = 120.0
    heartbeat_timeout_s: float = 1.0
    device_check_s: float = 10.0
    drain_grace_s: float = 2.0
    first_message_timeout_s: float = 5.0
    chunk_timeout_s: float = 45.0
    cpu_cores: int = 0
    simulate: str = ""
    fpga_images: str = ""
    fpga_keys: str = ""
    isolation: int = 0
    worker_memory_bytes: int = 0
    worker_calls: int = 1024
    worker_bytes: int = 4 * _GIB
    queue_limit_ms: int = 100
    quarantine_h: float = 24.0
    transport: str = "auto"
    net_agent: str = ""

    def __post_init__(self) -> None:
        _check_address(self.bind)
        format_of(self.log_format)
        _check_simulated(self.simulate)
        self._check_boards()
        check_ports(metrics_port=self.metrics_port)
        check_ports(user_port=self.user_port, management_port=self.management_port)
        for name in _ABOVE_ZERO:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)}: must be above 0")
        for name in _NOT_BELOW_ZERO:
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} = {getattr(self, name)}: must not be below 0")
        for name, most in _AT_MOST.items():
            if getattr(self, name) > most:
                raise ValueError(f"{name} = {getattr(self, name)}: must be {most} or less")
        if self.net_agent and not Path(self.net_agent).is_absolute():
            raise ValueError(f"net_agent = {self.net_agent[:80]!r}: must be an absolute path")
        if self.isolation not in (0, 1, 2):
            raise ValueError(f"isolation = {self.isolation}: must be 0, 1 or 2")
        if self.transport not in _SERVED_BY:
            known = ", ".join(_SERVED_BY)
            raise ValueError(f"transport = {self.transport[:80]!r}: must be one of {known}")

    def _check_boards(self) -> None:
        for name in ("fpga_images", "fpga_keys"):
            text: str = getattr(self, name)
            if not text and simulated_boards(self.simulate):
                raise ValueError(f"simulate = {self.simulate[:80]!r}: boards need {name} too")
            for part in text.split(",") if text else ():
                if not Path(part.strip()).is_absolute():
                    raise ValueError(f"{name} = {text[:80]!r}: must be absolute paths")

    @property
    def fpga_key_files(self) -> tuple[Path, ...]:
        """The files of `fpga_keys`."""
        return tuple(Path(part.strip()) for part in self.fpga_keys.split(",") if part.strip())

    @classmethod
    def for_test(cls) -> ListenerConfig:
        """Small bounds, so that a test meets them."""
        return cls(
            store_limit_bytes=64 << 20,
            model_max_bytes=16 << 20,
            sessions_max=8,
            cpu_cores=4,
            drain_grace_s=0.5,
        )

    def level(self, probed: Literal[1, 2]) -> int:
        """The level that workers get on a host that can give `probed` at most."""
        return self.isolation or probed

    @property
    def served_by(self) -> str:
        """The transport that workers are told: h2, grpcio, or "" for h2 and rings."""
        return _SERVED_BY[self.transport]

    @property
    def limits(self) -> Limits:
        """What supervision goes by."""
        return Limits(
            spares=self.spares,
            spawn_timeout_s=self.spawn_timeout_s,
            adopt_timeout_s=self.adopt_timeout_s,
            load_timeout_s=self.load_timeout_s,
            device_check_s=self.device_check_s,
            heartbeat_timeout_s=self.heartbeat_timeout_s,
            quarantine_s=self.quarantine_h * 3600,
        )


def _check_address(bind: str) -> None:
    """ValueError unless others can be told to come to `bind`."""
    if bind and (not _is_address(bind) or ipaddress.ip_address(bind).is_unspecified):
        raise ValueError(f"bind = {bind[:80]!r}: must be an address of this host, such as 10.1.2.3")


def _check_simulated(text: str) -> None:
    try:
        parse_simulated(text)
    except ValueError as error:
        raise ValueError(f"simulate = {text[:80]!r}: {error}") from None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_SERVED_BY = {"auto": "", "ring": "", "h2": "h2", "grpcio": "grpcio"}
_AT_MOST = {"worker_calls": 1 << 20, "worker_bytes": 1 << 40, "queue_limit_ms": 3_600_000}
_NOT_BELOW_ZERO = (
    "spares",
    "cpu_cores",
    "worker_memory_bytes",
    "tenant_store_bytes",
    "drain_grace_s",
)
_ABOVE_ZERO = (
    "store_limit_bytes",
    "tenant_uploads",
    "worker_calls",
    "worker_bytes",
    "model_max_bytes",
    "sessions_max",
    "session_idle_s",
    "spawn_timeout_s",
    "device_check_s",
    "adopt_timeout_s",
    "load_timeout_s",
    "heartbeat_timeout_s",
    "first_message_timeout_s",
    "chunk_timeout_s",
    "queue_limit_ms",
    "quarantine_h",
)
