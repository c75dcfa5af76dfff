"""What was used and charged, as the pool says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eais.rpc.v1 import ledger_pb2


class By(StrEnum):
    """What may be told apart."""

    TENANT = "tenant"
    INSTANCE = "instance"
    KIND = "kind"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class UsageLine:
    """What one thing that is told apart has used; "" where it isn't.

    Attributes:
        model: SHA-256, in hex.
        device_s: share × seconds.
        cost: in the unit of the pool's prices, as they were then.
        requests: calls that were answered with outputs.
        bytes_in, bytes_out: of their inputs and outputs.
        busy_s: that the runtime took.
        vnic_bytes_in, ...: by vNICs of the kernel, whole IP packets; of no model.
    """

    tenant: str
    instance: str
    kind: str
    model: str
    device_s: float
    cost: float
    requests: int
    bytes_in: int
    bytes_out: int
    busy_s: float
    vnic_bytes_in: int
    vnic_bytes_out: int
    vnic_packets_in: int
    vnic_packets_out: int

    @classmethod
    def of_message(cls, message: ledger_pb2.UsageLine) -> UsageLine:
        """The line that the wire describes."""
        return cls(
            tenant=message.tenant,
            instance=message.instance,
            kind=message.kind,
            model=message.model,
            device_s=message.device_s,
            cost=message.cost,
            requests=message.requests,
            bytes_in=message.bytes_in,
            bytes_out=message.bytes_out,
            busy_s=message.busy_ns / 1e9,
            vnic_bytes_in=message.vnic_bytes_in,
            vnic_bytes_out=message.vnic_bytes_out,
            vnic_packets_in=message.vnic_packets_in,
            vnic_packets_out=message.vnic_packets_out,
        )


def usage_request(since_s: float, until_s: float, by: Iterable[By]) -> ledger_pb2.UsageRequest:
    """What asks for it, as the wire says it."""
    from eais.rpc.v1 import ledger_pb2

    return ledger_pb2.UsageRequest(since_s=since_s, until_s=until_s, by=[each.value for each in by])


def usage_lines(reply: ledger_pb2.UsageReply) -> tuple[UsageLine, ...]:
    """The lines of an answer."""
    return tuple(map(UsageLine.of_message, reply.lines))
