"""Waiting until a device that is checked is known to be ok, or not."""

from __future__ import annotations

from eais.deadline import Deadline
from eais.errors import DeadlineExceeded, UsageError, make_error
from eais_client.cli.command import Call
from eais_client.operator_client import OperatorClient
from eais_client.pool_status import DeviceUse

LOOK_EVERY_S = 0.2
LONGEST_S = 120.0
"""For a check and what it waits for: a worker, or what else its listener is doing."""


def wait_until_checked(call: Call, operator: OperatorClient, host: str, device: str) -> DeviceUse:
    """The device once its check is over, and passed.

    Raises:
        DeviceLost: DEVICE_LOST, it failed.
        DeadlineExceeded: DEADLINE_EXCEEDED, its host doesn't say so far.
        UsageError: NOT_FOUND, the device is gone.
    """
    until = Deadline.after(LONGEST_S, call.outside.clock())
    while True:
        found = _look(operator, host, device)
        if found.health == "ok":
            return found
        if found.health not in ("checking", "suspect"):
            raise make_error("DEVICE_LOST", f"{device} is {found.health}: {found.health_reason}")
        if until.passed(call.outside.clock()):
            text = f"{host} hasn't said how {device} is after {LONGEST_S:g} s"
            raise DeadlineExceeded("DEADLINE_EXCEEDED", text, hint="`eais devices` shows it")
        call.outside.sleep(LOOK_EVERY_S)


def _look(operator: OperatorClient, host: str, device: str) -> DeviceUse:
    for found in operator.status().devices:
        if (found.host, found.id) == (host, device):
            return found
    raise UsageError("NOT_FOUND", f"host {host} has no device {device} any more")
