"""What is known of an attachment's calls, connections and sessions. (Brain)

A worker is known by its *link*: (epoch, n, address). Each connection to it is a *stream*
with a number of its own, so that what comes late from an old one is recognised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf

from eais.backoff import RESTART, RETRY, Backoff, Rng
from eais.errors import EaisError
from eais_client.brain.retry_budget import RetryBudget
from eais_client.brain.waiting import WaitingCalls
from eais_client.instances import Worker


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a call's patience and an attachment's memory.

    `max_calls`: sent on one stream and not answered; the worker takes as many.
    `trust_ended_s`: for so long the pool is not asked again whether an instance that it
    says is stopped still is.
    `coming_share`: of the time that calls have waited, after which it is asked again, at most,
    whether a worker that is coming serves; from `coming_first_s` to `coming_cap_s`.
    """

    max_attempts: int = 3
    max_calls: int = 1024
    unavailable_timeout_s: float = 30.0
    max_in_flight_bytes: int = 256 << 20
    trust_ended_s: float = 0.05
    coming_first_s: float = 0.05
    coming_share: float = 0.2
    coming_cap_s: float = 1.0
    backoff: Backoff = RETRY
    replace_backoff: Backoff = RESTART


class LinkState(Enum):
    """Where the connection to a worker stands."""

    DOWN = auto()
    CONNECTING = auto()
    OPEN = auto()
    DRAINING = auto()
    #: Replaced by another stream to the worker: what is on it is finished there.
    LEAVING = auto()


@dataclass(frozen=True, slots=True)
class Successor:
    """A stream that is being opened to take the place of an open one."""

    stream: int
    generation: int


@dataclass(slots=True)
class Link:
    """A worker and the connection to it; `retired`: no longer in the endpoint set.

    `generation` is that of the identity which its stream was dialled with.
    """

    worker: Worker
    epoch: int
    state: LinkState = LinkState.DOWN
    stream: int = 0
    failures: int = 0
    retry_at: float = 0.0
    retired: bool = False
    calls: set[int] = field(default_factory=set)
    generation: int = 0
    successor: Successor | None = None
    replace_at: float = 0.0
    replace_failures: int = 0
    #: Another server answered at the address; how often `Find` had been asked by then.
    mistrusted: EaisError | None = None
    finds_before: int = 0
    #: See `eais_client.brain.pace`: calls that it may have, grown in `rounds`; the time of the
    #: last answer; when it may be given a call again.
    window: float = inf
    rounds: float = 0.0
    answered_at: float = 0.0
    resume_at: float = 0.0

    @property
    def usable(self) -> bool:
        """Whether a call may be sent on it now."""
        return self.state is LinkState.OPEN and not self.retired


@dataclass(slots=True)
class Call:
    """A call that isn't answered yet; SENT while `link` is set, else WAITING."""

    session: str
    size: int
    deadline_at: float
    watched: bool
    since: float
    #: See `Submitted`.
    patience_s: float = inf
    attempts: int = 0
    not_before: float = 0.0
    sent_at: float = 0.0
    #: Sent to another worker at once when it was refused for want of room, so often in a row.
    moved: int = 0
    link: Link | None = None
    avoid: Link | None = None
    last_error: EaisError | None = None
    #: Refused for want of its session: how often, and when for the first time.
    unknown: int = 0
    unknown_since: float = inf
    #: Refused as too old: it waits for an epoch above this one.
    newer_than: int = -1
    #: Made while the instance was said to have ended: it waits to hear it again.
    doubts: bool = False
    #: How many times `Find` had been asked when it began to doubt, or was refused as too old.
    finds_before: int = 0


@dataclass(slots=True)
class Session:
    """A session of the instance; ready while open under the current epoch.

    `not_on`: its calls aren't for the workers of these numbers; None: all workers have it.
    """

    epoch: int
    opening: bool = False
    not_on: frozenset[int] | None = None

    def is_on(self, link: Link) -> bool:
        """Whether the link's worker may have it."""
        return self.not_on is None or link.worker.n not in self.not_on


@dataclass(slots=True)
class State:
    """All that is known of one attachment's calls, links and sessions."""

    instance: str
    rng: Rng
    limits: Limits = field(default_factory=Limits)
    budget: RetryBudget = field(default_factory=RetryBudget)
    epoch: int = 0
    links: list[Link] = field(default_factory=list)
    calls: dict[int, Call] = field(default_factory=dict)
    waiting: WaitingCalls[Call] = field(default_factory=WaitingCalls[Call])
    unwatched: dict[int, Call] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    ended: EaisError | None = None
    ended_until: float = 0.0
    in_flight_bytes: int = 0
    streams: int = 0
    finding: bool = False
    finds: int = 0
    find_failures: int = 0
    find_at: float = 0.0
    find_error: EaisError | None = None
    stranded: str = ""
    wake_at: float = inf
    #: The earliest time that anything of a call was to happen at, since the last Tick.
    due_at: float = inf
    #: Of all calls that were refused as too old.
    newest_stale: int = -1
    #: Counts the renewals of the identity; `replacing` while streams of an older one are left.
    generation: int = 0
    replacing: bool = False
    #: Since the beginning: streams that took another's place, and attempts after the first.
    replaced: int = 0
    retries: int = 0

    def link_of(self, stream: int) -> Link | None:
        """The link whose present stream this is."""
        return next((link for link in self.links if link.stream == stream), None)

    def expects(self, stream: int) -> bool:
        """Whether the stream is wanted: a link's own, or its successor."""
        successors = (link.successor for link in self.links)
        return self.link_of(stream) is not None or any(
            each is not None and each.stream == stream for each in successors
        )

    def has_usable_link(self) -> bool:
        """Whether a call could be sent now."""
        return any(link.usable and link.epoch == self.epoch for link in self.links)

    def patience_s(self, call: Call) -> float:
        """How long the call may wait from now: briefly only while no worker can be reached."""
        longest = self.limits.unavailable_timeout_s
        if self.has_usable_link() or (call.last_error and call.last_error.reason == "BUSY"):
            return longest
        return min(call.patience_s, longest)

    def validate(self) -> None:
        """Raise AssertionError if the state contradicts itself."""
        sent = {number: call for number, call in self.calls.items() if call.link is not None}
        waiting = list(self.waiting)
        assert waiting == sorted(self.calls.keys() - sent.keys())
        assert all(call is self.calls[number] for number, call in self.waiting.items())
        assert self.in_flight_bytes == sum(call.size for call in sent.values())
        on_links = [(number, link) for link in self.links for number in link.calls]
        assert len(on_links) == len(sent)
        assert all(sent[number].link is link for number, link in on_links)
        assert self.unwatched.items() <= self.calls.items()
        assert all(link.stream for link in self.links if link.state is not LinkState.DOWN)
        streams = [link.stream for link in self.links if link.stream]
        streams += [link.successor.stream for link in self.links if link.successor]
        assert len(streams) == len(set(streams))
        workers = [
            (link.epoch, link.worker.n, link.worker.address)
            for link in self.links
            if link.state is not LinkState.LEAVING
        ]
        assert len(workers) == len(set(workers))
        assert all(link.usable for link in self.links if link.successor is not None)
        assert all(call.attempts <= self.limits.max_attempts for call in self.calls.values())
        assert 0 <= self.budget.tokens <= self.budget.capacity
