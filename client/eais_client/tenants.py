"""Tenants and their quotas, as an operator says and sees them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from eais.device_type import WHOLE_MILLI, DeviceKind
from eais.errors import UsageError
from eais.rpc.v1 import hosts_pb2

COUNTS = ("instances", "operations")
WEIGHT = "weight"
KINDS = tuple(kind.value for kind in DeviceKind)
QUOTAS = (*COUNTS, *KINDS, WEIGHT)
UNLIMITED, DEFAULT = "unlimited", "default"

_COUNT = re.compile(r"[0-9]{1,12}")
_DEVICES = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_EXAMPLE = "such as gpu=1.5, instances=20, cpu=unlimited or cpu=default"


@dataclass(frozen=True, slots=True)
class QuotaChanges:
    """What becomes of a tenant's quotas; those not named stay as they are.

    Attributes:
        limits: quota → instances, operations or milli-devices; None: unlimited.
        defaults: those that go back to what the pool's configuration says.
    """

    limits: Mapping[str, int | None] = field(default_factory=dict)
    defaults: tuple[str, ...] = ()

    @classmethod
    def parse(cls, words: Iterable[str]) -> QuotaChanges:
        """Read words such as "gpu=1.5"; devices are in eighths.

        Raises:
            UsageError: ARGUMENT, a word is no quota, or one is named twice.
        """
        limits: dict[str, int | None] = {}
        defaults: list[str] = []
        for word in words:
            what, _, value = word.partition("=")
            if what not in QUOTAS:
                raise _refused(word, f"a quota is of {', '.join(QUOTAS)}")
            if what in limits or what in defaults:
                raise _refused(word, "it was named before")
            if value == DEFAULT:
                defaults.append(what)
            else:
                limits[what] = _limit(word, what, value)
        return cls(limits, tuple(defaults))

    def messages(self) -> list[hosts_pb2.Quota]:
        """The limits as they travel."""
        return [hosts_pb2.Quota(what=what, limit=limit) for what, limit in self.limits.items()]


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant: its quotas in force, whoever set them, and what it has now.

    Both by quota: instances, operations, or milli-devices of a kind; a limit of None: unlimited.

    Attributes:
        vnic_network: of which its vNICs of the kernel have their addresses.
        vnic_cap_bytes_per_s: that each of them carries at most, each way; 0: no limit.
    """

    name: str
    quotas: Mapping[str, int | None] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)
    vnic_network: str = ""
    vnic_cap_bytes_per_s: int = 0

    @property
    def weight(self) -> int:
        """Its part of what is waited for, against that of others."""
        return self.quotas.get(WEIGHT) or 1

    @classmethod
    def of_message(cls, message: hosts_pb2.Tenant) -> Tenant:
        """The tenant that the wire describes."""
        quotas = {q.what: q.limit if q.HasField("limit") else None for q in message.quotas}
        return cls(
            message.name,
            quotas,
            {used.what: used.limit for used in message.used},
            message.vnic_network,
            message.vnic_cap_bytes_per_s,
        )


def _limit(word: str, what: str, value: str) -> int | None:
    if value == UNLIMITED:
        return None
    if what in (*COUNTS, WEIGHT):
        if not _COUNT.fullmatch(value):
            raise _refused(word, f"{what} is a number")
        return int(value)
    milli = _milli(value)
    if milli is None:
        raise _refused(word, "devices are in eighths")
    return milli


def _milli(value: str) -> int | None:
    """Devices in eighths as milli-devices; None if they're anything else."""
    eighths = float(value) * 8 if _DEVICES.fullmatch(value) else 0.5
    return None if eighths % 1 else int(eighths) * WHOLE_MILLI // 8


def _refused(word: str, why: str) -> UsageError:
    return UsageError("ARGUMENT", f"quota {word[:80]!r}: {why}, {_EXAMPLE}")
