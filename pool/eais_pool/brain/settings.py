"""What the reactor is told once. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass, field

from eais_pool.brain.address_plan import AddressPlan
from eais_pool.brain.quotas import Quotas


@dataclass(frozen=True, slots=True)
class Settings:
    """The pool's rules.

    Attributes:
        grant_timeout_s: a grant that its host hasn't confirmed by then is given up.
        drain_grace_ms: what a worker gets to finish its calls when its lease ends.
        run_timeout_s: the longest that one call may run.
        answer_kept_s: how long answers and DELETED instances are remembered.
        push_back_ms: what a caller is told to wait when nothing is free now.
        quotas: what tenants may have at the same time.
    """

    addresses: AddressPlan
    vnic_driver: str = "loopback"
    grant_timeout_s: float = 30.0
    drain_grace_ms: int = 5_000
    run_timeout_s: int = 600
    answer_kept_s: float = 86_400.0
    push_back_ms: int = 1_000
    quotas: Quotas = field(default_factory=Quotas)
