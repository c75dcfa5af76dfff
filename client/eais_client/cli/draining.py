"""Waiting until a host that is drained is empty."""

from __future__ import annotations

from eais.deadline import NEVER, Deadline
from eais.errors import DeadlineExceeded, UsageError
from eais_client.cli.command import Call
from eais_client.cli.progress import Progress
from eais_client.operator_client import OperatorClient
from eais_client.pool_status import HostUse

LOOK_EVERY_S = 0.5
_GOES_ON = "the drain goes on: `eais host list -o wide` shows it, `eais host uncordon` ends it"


def wait_until_empty(
    call: Call,
    operator: OperatorClient,
    begun: HostUse,
    progress: Progress,
    timeout_s: float | None,
) -> HostUse:
    """The host once nothing holds a lease there; what is stuck is said once for each reason.

    Raises:
        DeadlineExceeded: DEADLINE_EXCEEDED, it isn't empty after `timeout_s`.
        UsageError: WRONG_STATE, somebody ended the drain; NOT_FOUND, the host is gone.
    """
    outside, host = call.outside, begun
    until = NEVER if timeout_s is None else Deadline.after(timeout_s, outside.clock())
    told: set[str] = set()
    while host.instances:
        _tell(call, host, told)
        _show(progress, host, begun.instances)
        if timeout_s is not None and until.passed(outside.clock()):
            raise _late(host, timeout_s)
        outside.sleep(LOOK_EVERY_S)
        host = _look(operator, host.host)
    return host


def _look(operator: OperatorClient, name: str) -> HostUse:
    for host in operator.status().hosts:
        if host.host == name:
            if host.instances and not host.draining:
                raise UsageError("WRONG_STATE", f"the drain of {name} was ended by an operator")
            return host
    raise UsageError("NOT_FOUND", f"there is no host {name} any more")


def _tell(call: Call, host: HostUse, told: set[str]) -> None:
    for words in host.stuck:
        if words not in told:
            told.add(words)
            call.printer.note(f"stuck: {words}")


def _show(progress: Progress, host: HostUse, all_of_them: int) -> None:
    most = max(all_of_them, host.instances)
    stuck = f", {len(host.stuck)} stuck" if host.stuck else ""
    progress.step(
        f"draining {host.host}: {host.instances} to go{stuck}", most - host.instances, most
    )


def _late(host: HostUse, timeout_s: float) -> DeadlineExceeded:
    stuck = f": {'; '.join(host.stuck)}" if host.stuck else ""
    return DeadlineExceeded(
        "DEADLINE_EXCEEDED",
        f"{host.host} still has {instances_text(host.instances)} after {timeout_s:g} s{stuck}",
        hint=_GOES_ON,
    )


def instances_text(number: int) -> str:
    """ "1 instance", "2 instances"."""
    return f"{number} instance{'' if number == 1 else 's'}"
