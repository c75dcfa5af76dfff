"""The ends of vNICs that this front-end has on its host: made before anything is dialled there.

The host's network agent makes them and keeps them, also when this process ends: `eais attach`
has one made, and the programs that use the instance afterwards find it there. Each asks for it
all the same, once a plan, since the agent makes what is there already once more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path

from eais.errors import ConfigError, EaisError, make_error
from eais.net.asking import DEFAULT_SOCKET, NetAgent
from eais.net.messages import key_of
from eais.net.plan import KERNEL_DRIVERS, Side, VnicKey
from eais.rpc.v1 import net_pb2
from eais_client.brain.ways import Found, stale
from eais_client.config import ClientConfig
from eais_client.instances import Instance
from eais_client.local_sockets import peers
from eais_client.vnic_end import EndHere, Vnic, VnicEnd

log = logging.getLogger(__name__)

OFFERED_IN_S = 2.0
"""An attach isn't kept waiting for an agent that keeps silent."""
LEAVE_WITHIN_S = 60.0
"""Longer than a worker that is drained has for its calls."""
LOOK_EVERY_S = 1.0
# What may be otherwise in a moment: an agent that is being started, a plan that was replaced.
_PASSING = frozenset({"NET_AGENT", "NET_PLAN"})


class VnicEnds:
    """What a process has its host's agent make. Safe from any thread; all of it blocks.

    Args:
        peers: addresses to which this host has connections.
    """

    def __init__(
        self,
        agent: NetAgent,
        peers: Callable[[], Collection[str]] = peers,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.agent = agent
        self._peers = peers
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._made: dict[VnicKey, int] = {}

    @classmethod
    def of_config(cls, config: ClientConfig) -> VnicEnds:
        """By the agent that the settings name, else the usual one."""
        return cls(NetAgent(Path(config.net_agent) if config.net_agent else DEFAULT_SOCKET))

    def make(self, vnic: Vnic, *, again: bool = False) -> None:
        """Have this front-end's end, if the vNIC needs one.

        Args:
            again: also if this process had it made before: something may be wrong with it.

        Raises:
            ConfigError: NET_AGENT, no agent answers, or another than is meant; NETDEV.
            IdentityError: NET_PLAN, there is no plan, or the agent refuses it.
            UsageError: WRONG_STATE, something else has its address.
        """
        if not vnic.is_kernels:
            return
        end = vnic.end
        if end is None:
            raise make_error("NET_PLAN", f"the pool has told no plan of the {vnic.driver}")
        with self._lock:
            made = self._made.get(end.key, 0)
        if made >= end.generation and not again:
            return
        try:
            self.agent.create(end.message())
        except EaisError as error:
            if error.reason == "NET_PLAN":
                self._check_agent(end)
            raise
        with self._lock:
            self._made[end.key] = max(end.generation, self._made.get(end.key, 0))

    def reach(self, vnic: Vnic, *, again: bool = False) -> None:
        """As `make`, for calls, which wait for what passes as for a host that is away.

        Raises:
            Unavailable: HOST_UNREACHABLE, there is none now, and why.
            ConfigError, IdentityError, UsageError: what is wrong for good.
        """
        try:
            self.make(vnic, again=again)
        except _OtherAgentError:
            raise
        except EaisError as error:
            if error.reason not in _PASSING:
                raise
            why = f"{error.reason}: {error.message}"
            text = f"the {vnic.driver} to {vnic.address} isn't there: {why}"
            raise make_error("HOST_UNREACHABLE", text, hint=error.hint) from None

    def _check_agent(self, end: VnicEnd) -> None:
        """Raise if the plan is for another agent than this host has."""
        here = self._soon().offer().agent
        if here != end.agent:
            name = end.key.instance
            raise _OtherAgentError(
                "NET_AGENT",
                f"the vNIC of {name} is planned for the network agent {end.agent}, and this "
                f"host's is {here}",
                hint=f"eais detach {name}, then attach it again",
            )

    def leave(self, end: VnicEnd) -> None:
        """Have an end taken away, once nothing on this host speaks by it; failing is logged.

        Other programs of the front-end may have calls there that are still being answered; and
        an agent that is away for a moment is asked again.
        """
        with self._lock:
            self._made.pop(end.key, None)
        until = self._clock() + LEAVE_WITHIN_S
        gone = Found(end.key, end.generation, end.peer)
        while not self._let_go(gone):
            if self._clock() >= until:
                self.release([gone])
                return
            self._sleep(LOOK_EVERY_S)

    def _let_go(self, end: Found) -> bool:
        """Whether an end is gone, or can't be taken away for a reason that was logged."""
        if end.peer in self._peers():
            return False
        try:
            self.agent.destroy(end.key, end.generation)
        except EaisError as error:
            if error.reason == "NET_AGENT":
                return False
            _log_left(end, error)
        return True

    def offer(self, vnic: str) -> net_pb2.NetOffer | None:
        """What the pool is to know of this host for the driver `vnic`; None: nothing.

        Raises:
            ConfigError: NET_AGENT, a driver of the kernel is asked for, and no agent answers.
        """
        asked = vnic in KERNEL_DRIVERS
        if not asked and (vnic not in ("", "auto") or not self.agent.path.exists()):
            return None
        try:
            return self._soon().offer()
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
        return tuple(
            Found(key_of(each.key), each.generation, each.peer)
            for each in self._soon().status().vnics
            if each.owner == owner and key_of(each.key).side is Side.FRONTEND
        )

    def here(self, vnic: Vnic) -> EndHere | None:
        """This front-end's end of an instance's vNIC; None if there is none, or no agent."""
        end = vnic.end
        if end is None:
            return None
        try:
            status = self._soon().status()
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
                _log_left(end, error)

    def stale(
        self, found: Collection[Found], instances: Iterable[Instance], pool: str, frontend: str
    ) -> tuple[Found, ...]:
        """As `eais_client.brain.ways.stale`, by the connections that there are now."""
        return stale(found, instances, pool, frontend, self._peers())

    def _soon(self) -> NetAgent:
        return replace(self.agent, timeout_s=OFFERED_IN_S)


def _log_left(end: Found, error: EaisError) -> None:
    log.warning("the vNIC of %s is left on this host: %s", end.key.instance, error)


class _OtherAgentError(ConfigError):
    """The plan is for an agent that this host doesn't have any more."""
