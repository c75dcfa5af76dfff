"""What the checks look at, and what they have seen so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509

from eais.cpu_flags import CPUINFO
from eais.tls import Bundle
from eais_client.config import ClientConfig
from eais_client.context import Context, ContextStore
from eais_client.dialer import utc_now
from eais_client.doctor.path_judging import Measured
from eais_client.instances import Instance
from eais_client.own_identity import OwnIdentity
from eais_client.pool_status import PoolStatus
from eais_client.tenants import Tenant
from eais_client.vnic_end import EndHere


@dataclass(slots=True)
class Scene:
    """One user of one machine.

    Attributes:
        context_name: the context asked for, "" for the one in force.
        runs: whether the embedded pool with that state directory runs here.
        installed: whether a Python module of that name can be imported.
        wall: this machine's clock.
        cpuinfo: what the kernel says of this machine's CPU.
        measure: what calls to the instance take; None: they are made.

    The others are filled by the checks, each by the one that finds it out.
    """

    store: ContextStore
    environ: Mapping[str, str]
    context_name: str
    runs: Callable[[Path], bool]
    installed: Callable[[str], bool]
    wall: Callable[[], datetime] = utc_now
    cpuinfo: Path = CPUINFO
    measure: Callable[[Scene], Measured] | None = None
    config: ClientConfig = field(default_factory=ClientConfig)
    found_context: Context | None = None
    found_own: OwnIdentity | None = None
    found_bundle: Bundle | None = None
    found_server: x509.Certificate | None = None
    clock_is_off: bool = False
    status: PoolStatus | None = None
    tenants: tuple[Tenant, ...] = ()
    instance: Instance | None = None
    end: EndHere | None = None

    @property
    def context(self) -> Context:
        """The context in force; found by `context`, which all that ask for it need."""
        assert self.found_context is not None
        return self.found_context

    @property
    def own(self) -> OwnIdentity:
        """This user's front-end; found by `certificate`."""
        assert self.found_own is not None
        return self.found_own

    @property
    def bundle(self) -> Bundle:
        """Its identity now; found by `certificate`."""
        assert self.found_bundle is not None
        return self.found_bundle

    @property
    def server(self) -> x509.Certificate:
        """The manager's leaf; found by `address`."""
        assert self.found_server is not None
        return self.found_server
