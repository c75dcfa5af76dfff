"""The ends of vNICs that this front-end has on its host: made before anything is dialled there.

The host's network agent makes them and keeps them, also when this process ends: `eais attach`
has one made, and the programs that use the instance afterwards find it there. Each asks for it
all the same, once a plan, since the agent makes what is there already once more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from eais.errors import EaisError, make_error
from eais.net.asking import DEFAULT_SOCKET, NetAgent
from eais.net.messages import key_of
from eais.net.plan import KERNEL_DRIVERS, Side, VnicKey
from eais.rpc.v1 import net_pb2
from eais_client.config import ClientConfig
from eais_client.instances import Instance
from eais_client.vnic_end import EndHere, Vnic, VnicEnd

log = logging.getLogger(__name__)

OFFERED_IN_S = 2.0
"""An attach isn't kept waiting for an agent that keeps silent."""
# What may be otherwise in a moment: an agent that is being started, a plan that was replaced.
_PASSING = frozenset({"NET_AGENT", "NET_PLAN"})


class VnicEnds:
    """What a process has its host's agent make. Safe from any thread; all of it blocks."""

    def __init__(self, agent: NetAgent) -> None:
        self.agent = agent
        self._lock = threading.Lock()
        self._made: dict[VnicKey, int] = {}

    @classmethod
    def of_config(cls, config: ClientConfig) -> VnicEnds:
        """By the agent that the settings name, else the usual one."""
        return cls(NetAgent(Path(config.net_agent) if config.net_agent else DEFAULT_SOCKET))

    def reach(self, vnic: Vnic, *, again: bool = False) -> None:
        """Have this front-end's end, if the vNIC needs one.

        Args:
            again: also if this process had it made before: something may be wrong with it.

        Raises:
            Unavailable: HOST_UNREACHABLE, there is none now, and why.
            ConfigError, IdentityError, UsageError: what the agent says is wrong for good.
        """
        if not vnic.is_kernels:
            return
        end = vnic.end
        if end is None:
            raise _unreachable(vnic, "the pool has told no plan of it", "")
        with self._lock:
            made = self._made.get(end.key, 0)
        if made >= end.generation and not again:
            return
        try:
            self.agent.create(end.message())
        except EaisError as error:
            if error.reason in _PASSING:
                raise _unreachable(vnic, f"{error.reason}: {error.message}", error.hint) from None
            raise
        with self._lock:
            self._made[end.key] = max(end.generation, self._made.get(end.key, 0))

    def leave(self, end: VnicEnd) -> None:
        """Have an end taken away that nobody here needs any more; if it can't be, it is logged."""
        with self._lock:
            self._made.pop(end.key, None)
        self.release([Found(end.key, end.generation)])

    def offer(self, vnic: str) -> net_pb2.NetOffer | None:
        """What the pool is to know of this host for the driver `vnic`; None: nothing.

        Raises:
            ConfigError: NET_AGENT, a driver of the kernel is asked for, and no agent answers.
        """
        asked = vnic in KERNEL_DRIVERS
        if not asked and (vnic not in ("", "auto") or not self.agent.path.exists()):
            return None
        try:
            return replace(self.agent, timeout_s=OFFERED_IN_S).offer()
        except EaisError as error:
            if asked:
                raise
            log.warning("the pool isn't offered a vNIC of the kernel: %s", error)
            return None

    def found(self, owner: str) -> tuple[Found, ...]:
        """The ends that the front-end `owner` (an identity's URI) has here; none without an agent.

        Raises:
            ConfigError: NET_AGENT, the agent doesn't answer.
        """
        if not self.agent.path.exists():
            return ()
        status = replace(self.agent, timeout_s=OFFERED_IN_S).status()
        return tuple(
            Found(key_of(each.key), each.generation)
            for each in status.vnics
            if each.owner == owner and key_of(each.key).side is Side.FRONTEND
        )

    def here(self, vnic: Vnic) -> EndHere | None:
        """This front-end's end of an instance's vNIC; None if there is none, or no agent."""
        end = vnic.end
        if end is None:
            return None
        try:
            status = replace(self.agent, timeout_s=OFFERED_IN_S).status()
        except EaisError:
            return None
        found = (each for each in status.vnics if key_of(each.key) == end.key)
        return next((EndHere(each.interface, each.mtu) for each in found), None)

    def release(self, ends: Iterable[Found]) -> None:
        """Have these taken away, unless there is a later plan; what can't be is logged."""
        for end in ends:
            try:
                self.agent.destroy(end.key, end.generation)
            except EaisError as error:
                name = end.key.instance
                log.warning("the vNIC of %s is left on this host: %s", name, error)


@dataclass(frozen=True, slots=True)
class Found:
    """An end that is here, as the agent says."""

    key: VnicKey
    generation: int


def stale(
    found: Collection[Found], instances: Iterable[Instance], pool: str, frontend: str
) -> tuple[Found, ...]:
    """Of the front-end's ends those that none of its instances has any more.

    Args:
        found: as they were before the pool was asked for `instances`; a later plan of the same
            end has a higher generation, and isn't hurt.
        instances: all of the tenant's.
        frontend: by its name.
    """
    own = {each.id: each.host for each in instances if each.frontend == frontend}
    return tuple(
        each
        for each in found
        if each.key.pool == pool and own.get(each.key.instance) != each.key.host
    )


def _unreachable(vnic: Vnic, why: str, hint: str) -> EaisError:
    text = f"the {vnic.driver} to {vnic.address} isn't there: {why}"
    return make_error("HOST_UNREACHABLE", text, hint=hint)
