"""What the reactor is told once. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass, field

from eais_pool.brain.address_plan import AddressPlan
from eais_pool.brain.net_rules import NetRules
from eais_pool.brain.quotas import Quotas
from eais_pool.policy.prices import Prices


@dataclass(frozen=True, slots=True)
class Settings:
    """The pool's rules.

    Attributes:
        vnic_driver: what instances are planned to get; hosts say what they do give.
        bind: the manager's address, by which other machines reach it; "": on loopback alone.
        grant_timeout_s: a grant that its host hasn't confirmed by then is given up.
        drain_grace_ms: what a worker gets to finish its calls when its lease ends.
        run_timeout_s: the longest that one call may run.
        moves_at_once: instances of a host that drains.
        move_retry_s: until an instance that a host failed to take is moved again.
        reopen_wait_s: for a front-end to open the sessions that nobody else has any more,
            before its instance is moved without them.
        answer_kept_s: how long answers and DELETED instances are remembered.
        push_back_ms: what a caller is told to wait when nothing is free now.
        line_most, line_most_of: how many operations wait in line, of all tenants and of one.
        overtake_s: how long those behind one that waits may take what it could use.
        ratio_change_s: what a change of an instance's workers costs, in seconds of one's rent.
        ratio_awake_s: how long the last worker of an instance stays without a call.
        ratio_late_target: what part of calls may be late, where their owner didn't say.
        quotas: what tenants may have at the same time.
        prices: what devices cost an hour.
        vnics: of which networks the kernel's have their addresses, and their caps.
    """

    addresses: AddressPlan
    vnic_driver: str = "loopback"
    bind: str = ""
    grant_timeout_s: float = 30.0
    drain_grace_ms: int = 5_000
    run_timeout_s: int = 600
    moves_at_once: int = 3
    move_retry_s: float = 5.0
    reopen_wait_s: float = 5.0
    answer_kept_s: float = 86_400.0
    push_back_ms: int = 1_000
    line_most: int = 1_000
    line_most_of: int = 100
    overtake_s: float = 10.0
    ratio_change_s: float = 30.0
    ratio_awake_s: float = 60.0
    ratio_late_target: float = 0.01
    quotas: Quotas = field(default_factory=Quotas)
    prices: Prices = field(default_factory=Prices)
    vnics: NetRules = field(default_factory=NetRules)

    @property
    def beyond_loopback(self) -> bool:
        """Whether front-ends may be on other machines than the manager."""
        return bool(self.bind) and not self.bind.startswith("127.")
