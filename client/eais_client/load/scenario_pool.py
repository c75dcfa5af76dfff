"""What a scenario acts on: an instance of the pool, its host, and its processes on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from eais.errors import DeadlineExceeded, EaisError, UsageError
from eais.instance import InstanceState
from eais_client.instances import Instance
from eais_client.load import victims
from eais_client.load.brain import scenario as steps
from eais_client.load.brain.scenario import Scenario, Victim
from eais_client.load.scenario_world import Attached, Death, Stopped, Traffic
from eais_client.load.targets.seeing import titled
from eais_client.operator_client import OperatorClient
from eais_client.pool_client import PoolClient
from eais_client.pool_status import HostUse

LOOK_EVERY_S = 0.1
_MB = 1e6

Bring = Callable[[Instance, Callable[[int, int], None]], object]
"""Sends the scenario's model to the instance's host: told of bytes sent, and of how many."""


class PoolWorld:
    """The pool of a context.

    Args:
        operator: opens the management plane; called only by scenarios that drain.
        bring: sends the model.
        traffic: makes ready to call an instance, by the model.
        stage: is told what is done now.
        clock: monotonic seconds; `wait`: for an event, so long at most.
    """

    def __init__(
        self,
        pool: PoolClient,
        operator: Callable[[], AbstractContextManager[OperatorClient]],
        bring: Bring,
        traffic: Callable[[Instance], Traffic],
        stage: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self._pool = pool
        self._operator = operator
        self._bring = bring
        self._make_traffic = traffic
        self._stage = stage
        self._clock = clock
        self._wait = wait
        self._ended = threading.Event()
        self._cordoned: list[str] = []

    def end(self) -> None:
        """End the scenario before its time; from anywhere, a signal's handler too."""
        self._ended.set()

    def now(self) -> float:
        """See `World`."""
        return self._clock()

    def pause(self, seconds: float) -> None:
        """See `World`."""
        if self._wait(self._ended, seconds):
            raise Stopped

    def check(self, scenario: Scenario) -> None:
        """See `World`: a scenario that drains needs an operator, and two hosts."""
        for place, step in zip(scenario.places, scenario.steps, strict=True):
            if isinstance(step, steps.Drain | steps.Uncordon):
                with self._operator() as operator:
                    hosts = operator.status().hosts
                fault = _drain_fault(step, hosts)
                if fault:
                    raise UsageError("WRONG_STATE", f"{place}: {fault}")

    def attach(self, step: steps.Attach) -> Attached:
        """See `World`. While it waits in line the scenario may be ended."""
        before = bool(step.instance) and self._in_use(step.instance)
        found = self._pool.attach(
            instance=step.instance,
            type=step.type,
            policy=step.policy,
            wait_s=step.wait_s,
            waits=self._waits,
            vnic=step.vnic,
        )
        where = ", ".join(sorted({f"{each.device} of {found.host}" for each in found.workers}))
        said = f"{found.id} on {where}" if where else found.id
        return Attached(found.id, said, before)

    def _in_use(self, instance: str) -> bool:
        return self._pool.describe(instance).state is InstanceState.IN_USE

    def _waits(self, instance: Instance) -> None:
        self._stage(f"attach: {instance.line}")
        self.pause(0.0)

    def push(self, instance: str) -> str:
        """See `World`."""
        sent = [0, 0]

        def told(done: int, total: int) -> None:
            sent[:] = done, total
            self._stage(f"push: {done / _MB:.0f} of {total / _MB:.0f} MB")
            self.pause(0.0)

        began = self._clock()
        self._bring(self._pool.describe(instance), told)
        if not sent[1]:
            return "its host has the model: nothing was sent"
        return f"{sent[0] / _MB:.3g} MB, {sent[0] / _MB / (self._clock() - began):.3g} MB/s"

    def traffic(self, instance: str) -> Traffic:
        """See `World`."""
        self._stage("making ready to call")
        return self._make_traffic(self._pool.describe(instance))

    def kill(self, instance: str, victim: Victim) -> Death:
        """See `World`: only processes of this user, on this machine."""
        host = self._pool.describe(instance).host
        pid, title = victims.victim_of(instance, host, victim)
        return victims.kill(pid, title, victim)

    def successor(self, death: Death, within_s: float) -> str:
        """See `World`."""
        until = death.sent + within_s
        while not (new := set(titled(death.title)) - death.before):
            if self._clock() > until:
                text = f"nobody took the place of {death.said} within {within_s:g} s"
                raise DeadlineExceeded("DEADLINE_EXCEEDED", text)
            self.pause(LOOK_EVERY_S)
        return f"{min(new)} in its place"

    def drain(self, instance: str, host: str, within_s: float) -> str:
        """See `World`."""
        was = self._pool.describe(instance).host
        host = host or was
        with self._operator() as operator:
            if fault := _drain_fault(steps.Drain(host), operator.status().hosts):
                raise UsageError("WRONG_STATE", fault)
            self._cordoned.append(host)
            begun = operator.drain(host)
            self._until_empty(operator, begun, within_s)
        now = self._pool.describe(instance).host
        moved = f", {instance} moved to {now}" if now != was else ""
        return f"{begun.instances} left {host}{moved}"

    def _until_empty(self, operator: OperatorClient, begun: HostUse, within_s: float) -> None:
        use, until = begun, self._clock() + within_s
        while use.instances:
            stuck = f"; stuck: {'; '.join(use.stuck)}" if use.stuck else ""
            if self._clock() > until:
                left = f"{use.host} still has {use.instances} of {begun.instances} instances"
                raise DeadlineExceeded("DEADLINE_EXCEEDED", f"{left} after {within_s:g} s{stuck}")
            self._stage(f"drain {use.host}: {use.instances} to go{stuck}")
            self.pause(LOOK_EVERY_S)
            use = _host(operator.status().hosts, use.host)

    def uncordon(self, host: str) -> str:
        """See `World`."""
        with self._operator() as operator:
            operator.cordon(host, cordoned=False)
        self._cordoned = [each for each in self._cordoned if each != host]
        return ""

    def resize(self, instance: str, type: str) -> str:
        """See `World`."""
        return self._pool.resize(instance, type).type

    def stop(self, instance: str) -> str:
        """See `World`."""
        return self._pool.stop(instance).state.value

    def start(self, instance: str) -> str:
        """See `World`."""
        return self._pool.start(instance).state.value

    def detach(self, instance: str) -> str:
        """See `World`."""
        return self._pool.detach(instance).state.value

    def restore(self) -> Sequence[str]:
        """See `World`."""
        left: list[str] = []
        for host in list(self._cordoned):
            try:
                self.uncordon(host)
            except EaisError as error:
                left.append(f"{host} is still cordoned: {error.reason}: {error.message}")
        return left


def _host(hosts: Sequence[HostUse], name: str) -> HostUse:
    for host in hosts:
        if host.host == name:
            return host
    raise UsageError("NOT_FOUND", f"there is no host {name}: {_names(hosts)}")


def _drain_fault(step: steps.Drain | steps.Uncordon, hosts: Sequence[HostUse]) -> str:
    """Why a host can't be drained, or granted on again, as far as hosts say; "" if nothing is."""
    if step.host and step.host not in [each.host for each in hosts]:
        return f"there is no host {step.host}: {_names(hosts)}"
    if isinstance(step, steps.Uncordon):
        return ""
    takers = [each.host for each in hosts if each.reachable and not each.cordoned]
    # Which one is drained isn't known yet where the scenario names none.
    if not ([each for each in takers if each != step.host] if step.host else takers[1:]):
        return f"a drain needs another host that takes instances: {_names(hosts)}"
    return ""


def _names(hosts: Sequence[HostUse]) -> str:
    return f"there {'is' if len(hosts) == 1 else 'are'} {', '.join(map(_name, hosts))}"


def _name(host: HostUse) -> str:
    if not host.reachable:
        return f"{host.host} (unreachable)"
    return f"{host.host} (cordoned)" if host.cordoned else host.host
