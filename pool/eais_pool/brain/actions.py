"""What the pool manager does to the world. (Brain)

The order of a list of actions is a contract: `Journal` is first, and nothing
after it may be done unless its facts are durable.
"""

from __future__ import annotations

from dataclasses import dataclass

from eais.instance_policy import DEFAULT_POLICY, InstancePolicy
from eais_pool.brain.facts import Fact
from eais_pool.brain.host_records import Endpoint
from eais_pool.brain.membership import TenantView, TokenRecord
from eais_pool.brain.net_records import NetLink
from eais_pool.brain.records import Answer, Failure, SharePick
from eais_pool.brain.view_records import InstanceView


@dataclass(frozen=True, slots=True)
class Journal:
    """Make the facts durable, as one, then apply them."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer everyone who waits for this operation."""

    tenant: str
    op_id: str
    answer: Answer


Told = TokenRecord | TenantView
"""What is told to who asks for something that is done at once."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Answer the one request that this event is."""

    answer: Told


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer the one request that this event is, and keep nothing of it."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class CheckDevice:
    """The command to find out how a device is, and to say so."""

    device: str


@dataclass(frozen=True, slots=True)
class Grant:
    """The command to grant a lease; a host that has it answers again.

    Attributes:
        sessions: what the instance has where it comes from, each as base64 of its wire form.
        sources: hosts that may have the models of those, the likeliest first.
        link: the vNIC, if it is the kernel's; its back-end's end is planned for the host's agent.
    """

    instance: str
    tenant: str
    epoch: int
    shares: tuple[SharePick, ...]
    address: str
    vnic_driver: str
    run_timeout_s: int
    tolerance: str
    sessions: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    policy: InstancePolicy = DEFAULT_POLICY
    link: NetLink | None = None


@dataclass(frozen=True, slots=True)
class Revoke:
    """The command to end a lease: drain, kill, and say when it is gone.

    `shares`: just these, by number; none: all of it.
    """

    instance: str
    epoch: int
    drain_grace_ms: int
    shares: tuple[int, ...] = ()


Command = Grant | Revoke | CheckDevice
"""What a host is told."""


@dataclass(frozen=True, slots=True)
class Send:
    """Give a command to a host."""

    host: str
    command: Command


@dataclass(frozen=True, slots=True)
class Publish:
    """Show an instance to whoever of its front-end watches."""

    tenant: str
    frontend: str
    view: InstanceView


@dataclass(frozen=True, slots=True)
class Reopen:
    """Ask a front-end for the sessions of its instance at the host that is to have it.

    `link`: its vNIC there, if it is the kernel's.
    """

    tenant: str
    frontend: str
    instance: str
    epoch: int
    host: str
    listener: Endpoint
    link: NetLink | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Tell the people at a front-end something about its instance."""

    tenant: str
    frontend: str
    instance: str
    reason: str
    message: str


News = Publish | Reopen | Notice
"""What goes to a front-end's watchers."""

Action = Journal | Reply | Tell | Refuse | Send | News
