"""The manager's settings: flag > `EAIS_*` variable > file's table > default."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import timedelta

from eais.ports import ENROLMENT_PORT, check_ports
from eais.ratio import LATE_LEAST, LATE_MOST
from eais.telemetry.logs import format_of
from eais_pool.brain.address_plan import AddressPlan
from eais_pool.brain.net_rules import NetRules
from eais_pool.brain.quotas import Quotas
from eais_pool.brain.settings import Settings
from eais_pool.brain.vnics import HOST, LOOPBACK
from eais_pool.policy import GRADIENT, POLICIES
from eais_pool.policy.prices import Prices

# What messages to listeners hold, and far more than anybody needs.
_AT_MOST = {
    "grant_timeout_s": 86_400,
    "revoke_grace_s": 86_400,
    "run_timeout_s": 31_536_000,
    "answers_kept_h": 8_760,
    "tick_s": 3_600,
    "profile_after_s": 31_536_000,
    "ratio_change_s": 86_400,
    "ratio_awake_s": 31_536_000,
    "journal_rows": 1 << 31,
}


@dataclass(frozen=True, slots=True)
class ManagerConfig:
    """All that can be set of a manager; ValueError names what can't be.

    Attributes:
        bind: the address that the planes are at; "": one of the pool's own on the loopback
            device, which this machine alone reaches.
        user_port, management_port, enrolment_port: of that plane; 0: the kernel chooses one,
            which is kept.
        metrics_port: of the metrics, on 127.0.0.1; 0: the kernel chooses one, which is kept.
        log_format: "text" or "json".
        grant_timeout_s: a grant that its host hasn't confirmed by then is given up.
        revoke_grace_s: what a worker gets to finish its calls when its lease ends.
        run_timeout_s: the longest that one call may run.
        answers_kept_h: how long answers are remembered for repetitions of their op_id.
        leaf_life_h: life of the leaves that the pool signs: its length is how long one that
            must no longer be trusted still is.
        tick_s: how often overdue grants are looked for.
        profile_after_s: a session is open so long before its model is measured on devices that
            are idle; 0: only who asks has models measured.
        ratio_change_s: what a change of an instance's workers costs, in seconds of one's rent.
        ratio_awake_s: how long the last worker of an instance that may have none stays without
            a call.
        ratio_late_target: what part of calls of an instance may be late, if nothing was said of it.
        journal_rows: how many facts are kept before they become a snapshot.
        placement: how places are chosen, "gradient" or "best-fit".
    """

    bind: str = ""
    user_port: int = 0
    management_port: int = 0
    enrolment_port: int = ENROLMENT_PORT
    metrics_port: int = 0
    log_format: str = "text"
    grant_timeout_s: float = 30.0
    revoke_grace_s: float = 5.0
    run_timeout_s: int = 600
    answers_kept_h: float = 24.0
    leaf_life_h: float = 1.0
    tick_s: float = 1.0
    profile_after_s: float = 30.0
    ratio_change_s: float = 30.0
    ratio_awake_s: float = 60.0
    ratio_late_target: float = 0.01
    journal_rows: int = 20_000
    placement: str = GRADIENT

    def __post_init__(self) -> None:
        _check_address(self.bind)
        format_of(self.log_format)
        if self.placement not in POLICIES:
            text = f"placement = {self.placement[:40]!r}: must be {' or '.join(POLICIES)}"
            raise ValueError(text)
        check_ports(metrics_port=self.metrics_port)
        check_ports(
            user_port=self.user_port,
            management_port=self.management_port,
            enrolment_port=self.enrolment_port,
        )
        above_0 = ("grant_timeout_s", "run_timeout_s", "tick_s", "ratio_change_s", "journal_rows")
        for name in above_0:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)}: must be above 0")
        for name in ("revoke_grace_s", "profile_after_s", "ratio_awake_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} = {getattr(self, name)}: must not be below 0")
        if not self.answers_kept_h >= 24:
            raise ValueError(f"answers_kept_h = {self.answers_kept_h}: must be 24 or more")
        if not 1 <= self.leaf_life_h <= 24:
            raise ValueError(f"leaf_life_h = {self.leaf_life_h}: must be 1 to 24")
        _check_late(self.ratio_late_target)
        for name, most in _AT_MOST.items():
            if getattr(self, name) > most:
                raise ValueError(f"{name} = {getattr(self, name)}: must be {most} or less")

    @classmethod
    def for_test(cls) -> ManagerConfig:
        """Short times, for tests that watch a whole manager."""
        return cls(grant_timeout_s=5.0, revoke_grace_s=0.5, tick_s=0.1, profile_after_s=0.0)

    @property
    def leaf_life(self) -> timedelta:
        """`leaf_life_h` as a duration."""
        return timedelta(hours=self.leaf_life_h)

    def settings(
        self, addresses: AddressPlan, quotas: Quotas, prices: Prices, vnics: NetRules
    ) -> Settings:
        """What the reactor is told."""
        return Settings(
            addresses=addresses,
            vnic_driver=HOST if self.bind else LOOPBACK,
            bind=self.bind,
            grant_timeout_s=self.grant_timeout_s,
            drain_grace_ms=round(self.revoke_grace_s * 1000),
            run_timeout_s=self.run_timeout_s,
            answer_kept_s=self.answers_kept_h * 3600,
            ratio_change_s=self.ratio_change_s,
            ratio_awake_s=self.ratio_awake_s,
            ratio_late_target=self.ratio_late_target,
            quotas=quotas,
            prices=prices,
            vnics=vnics,
        )


def _check_late(part: float) -> None:
    """ValueError unless that may be the part of calls that is late."""
    if not LATE_LEAST <= part <= LATE_MOST:
        right = f"must be {LATE_LEAST:f} to {LATE_MOST:g}, a part of calls"
        raise ValueError(f"ratio_late_target = {part}: {right}")


def _check_address(bind: str) -> None:
    """ValueError unless others can be told to come to `bind`."""
    if not bind:
        return
    try:
        address = ipaddress.IPv4Address(bind)
    except ValueError:
        text = f"bind = {bind[:80]!r}: must be an IPv4 address of this machine, such as 10.1.2.3"
        raise ValueError(text) from None
    if address.is_unspecified or address.is_multicast or bind == "255.255.255.255":
        raise ValueError(
            f"bind = {bind}: nobody can be told to come there; name the one address of this"
            " machine that front-ends and hosts reach it by"
        )
