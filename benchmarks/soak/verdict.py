"""Flat or not: what a pool holds after all that was done, against what it held before. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from benchmarks.soak.census import Census, Use
from benchmarks.soak.growth import LEAST_SAMPLES, Growth, growth

KIB_PER_CALL = 1024 / 100_000
"""1 MiB in 100 000 calls, of any process."""
KIB_PER_ATTACH: Mapping[str, float] = {"manager": 12.0}
"""The manager remembers an instance and the answers of its verbs for a day (`answers_kept_h`)."""
SLACK_KIB = 16 << 10
"""What allocators take and give back by themselves where tensors of 1 MiB come and go: measured,
without anything that stays, it is up to 10 MiB. It hides nothing from a soak that is long enough:
a leak per call, session or attach that matters in a day is above it within the hour."""
FILES_SLACK = 12
"""Four sessions stay open, with three files each: one that nobody called for a second isn't
loaded, and may be so at one moment and not at the other."""
THREAD_SLACK = 4
"""Pools of threads (gRPC's, asyncio's) grow when they are first needed and keep what they have."""
STATE_BYTES_PER_ATTACH = 16 << 10
"""The journal keeps what leases are charged from, and for a day the verbs' answers."""
STATE_SLACK_BYTES = 8 << 20
"""The journal's write-ahead log is folded in when it has 4 MiB, and keeps its size."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A census, and what had been done by then."""

    at_s: float
    calls: int
    attaches: int
    census: Census


def memory(samples: Sequence[Sample]) -> dict[str, tuple[Growth, float]]:
    """By role: how its memory grew, in KiB, and how much it may have.

    Unique memory where it can be read, else all of it. Of a role whose process was another one
    meanwhile only the last one's samples count.
    """
    found = {}
    for role in sorted(samples[-1].census.roles):
        same = _of_last(samples, role)
        if len(same) >= LEAST_SAMPLES:
            moments = [sample.at_s for sample, _ in same]
            values = [float(_kib(use)) for _, use in same]
            found[role] = (growth(moments, values), allowed_kib(role, same[0][0], same[-1][0]))
    return found


def _of_last(samples: Sequence[Sample], role: str) -> list[tuple[Sample, Use]]:
    pid = samples[-1].census.roles[role].pid
    uses = [(sample, sample.census.roles.get(role)) for sample in samples]
    return [(sample, use) for sample, use in uses if use is not None and use.pid == pid]


def _kib(use: Use) -> int:
    return use.rss_kib if use.uss_kib is None else use.uss_kib


def allowed_kib(role: str, first: Sample, last: Sample) -> float:
    """How much a role's memory may grow between two moments."""
    calls, attaches = last.calls - first.calls, last.attaches - first.attaches
    return max(SLACK_KIB, calls * KIB_PER_CALL + attaches * KIB_PER_ATTACH.get(role, 0.0))


def _stayed(role: str, before: Census, after: Census) -> float:
    """How much more memory the role's process has at rest; what only load takes is no leak."""
    old, new = before.roles.get(role), after.roles.get(role)
    if old is None or new is None or old.pid != new.pid:
        return inf  # it was there under load alone, or is another: its line must do
    return _kib(new) - _kib(old)


def left_over(before: Census, after: Census, attaches: int) -> dict[str, int]:
    """What there is more of, of all that must be as it was; both at rest."""
    found = {}
    for name in ("processes", "zombies", "shm", "temp", "files"):
        found[name] = getattr(after, name) - getattr(before, name)
    found["files"] -= FILES_SLACK
    most = STATE_BYTES_PER_ATTACH * attaches + STATE_SLACK_BYTES
    found["state_bytes"] = max(0, after.state_bytes - before.state_bytes - most)
    for role, use in after.roles.items():
        old = before.roles.get(role)
        if old is not None and old.pid == use.pid:
            found[f"{role}_threads"] = use.threads - old.threads - THREAD_SLACK
            if use.descriptors is not None and old.descriptors is not None:
                counted = use.descriptors.total() - old.descriptors.total()
                found[f"{role}_descriptors"] = counted
    return {name: more for name, more in found.items() if more > 0}


def replaced(
    samples: Sequence[Sample], before: Census, after: Census
) -> dict[str, list[int | None]]:
    """Roles that weren't the same process from rest to rest: its ids, None where there was none.

    What a process leaked goes when it ends, and what a new one takes at first is no leak.
    """
    censuses = [before, *(sample.census for sample in samples), after]
    found = {}
    for role in sorted({role for census in censuses for role in census.roles}):
        uses = [census.roles.get(role) for census in censuses]
        pids = list(dict.fromkeys(use.pid if use else None for use in uses))
        if len(pids) > 1:
            found[role] = pids
    return found


def shortcomings(samples: Sequence[Sample], before: Census, after: Census) -> list[str]:
    """In words: what isn't flat; [] if all is."""
    attaches = samples[-1].attaches - samples[0].attaches
    grown = [
        f"{role}: memory grew by {line.grown:.0f} KiB ({line.low:.0f} to {line.high:.0f}), "
        f"{allowed:.0f} are allowed"
        for role, (line, allowed) in memory(samples).items()
        if line.exceeds(allowed) and _stayed(role, before, after) > allowed
    ]
    more = left_over(before, after, attaches)
    return [
        *grown,
        *(f"{name}: {count} more than before" for name, count in sorted(more.items())),
        *(
            f"{role}: not one process throughout, but {pids}"
            for role, pids in replaced(samples, before, after).items()
        ),
    ]
