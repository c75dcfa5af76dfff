"""Turns of a shared device, from what is seen of its sharers. (Brain)

Rules that hold at every step:
- At most one sharer has the turn. It is over when it was given back, when no batch of it runs
  after its end (or ever, if others wait), or when it overran.
- While nobody else waits a turn has no end: its holder runs free. The first that waits gives it
  one; it ends at the batch boundary after.
- The device goes to one that is owed time, in rotation; to one in debt only when nobody is
  owed any who waits, or is about to.
"""

from __future__ import annotations

from collections.abc import Mapping

from eais_server.turns.brain.account import charge, forget, settle
from eais_server.turns.brain.actions import Action, Allow
from eais_server.turns.brain.events import Event, Excused, Joined, Left, Looked, Seen
from eais_server.turns.brain.overruns import judge
from eais_server.turns.brain.state import ALWAYS, NEVER, Device, Sharer, Stage


def on_event(device: Device, event: Event, now: int) -> list[Action]:
    """Note `event` at `now` (monotonic nanoseconds); what to do about it, in order."""
    match event:
        case Joined(sharer, weight, used_ns):
            if weight < 1 or sharer in device.sharers:
                raise ValueError(f"{sharer} joins with weight {weight}, or again")
            bank_ns = device.limits.bank_ns
            device.sharers[sharer] = Sharer(sharer, weight, used_ns, unused_ns=-bank_ns)
            return [Allow(sharer, 0, 0), *_granted(device, [], now)]
        case Left(sharer):
            _leave(device, sharer)
            return [*judge(device, now), *_granted(device, [], now)]
        case Excused(sharer, excused):
            if known := device.sharers.get(sharer):
                known.excused = excused
            return []
        case Looked(seen):
            return _looked(device, seen, now)


def next_look(device: Device, now: int) -> int | None:
    """When to look at the latest, if nobody rings; None: needn't."""
    sharers, limits = device.sharers.values(), device.limits
    if len(sharers) < 2 and all(s.stage is Stage.FINE for s in sharers):
        return None
    if not any(device.contested(sharer) for sharer in sharers):
        return now + limits.seldom_ns
    due = device.linger_ns if device.awaited else device.until_ns if device.holder else 0
    return min(due, now + limits.look_ns) if due > now else now + limits.look_ns


def _leave(device: Device, sharer: int) -> None:
    gone = device.sharers.get(sharer)
    if gone is None:
        return
    settle(device, gone)
    del device.sharers[sharer]
    if device.holder is gone:
        device.holder = None
    if device.awaited is gone:
        device.awaited = None


def _looked(device: Device, seen: Mapping[int, Seen], now: int) -> list[Action]:
    used = _used(device, seen, now)
    charge(device, used, now)
    device.looked_ns = now
    fresh = _noted(device, seen, used)
    forget(device, now)
    ended = device.holder if _is_over(device, seen, now) else None
    if ended is not None:
        _end(device, ended, now)
    judged = judge(device, now)
    granted = _granted(device, fresh, now)
    closed = [Allow(ended.id, 0, 0)] if ended and device.holder is not ended else []
    return [*closed, *judged, *granted]


# what was used


def _used(device: Device, seen: Mapping[int, Seen], now: int) -> dict[int, int]:
    """Device time to be charged to each, since the last look."""
    past = now - device.looked_ns if device.looked_ns != NEVER else 0
    used: dict[int, int] = {}
    for sharer in device.sharers.values():
        look = seen.get(sharer.id)
        if look is None:
            continue
        used[sharer.id] = _seen_used(device, sharer, look, past)
        if device.awaited is sharer:
            used[sharer.id] += past
    return used


def _seen_used(device: Device, sharer: Sharer, look: Seen, past: int) -> int:
    """`past`: the time since the last look."""
    holds, before = device.holder is sharer, device.looked_ns
    if look.used_ns is None or sharer.used_ns is None:
        sharer.used_ns = look.used_ns
        if holds:
            waking = 0 if device.begun else device.began_ns + device.limits.start_ns - before
            return past - max(0, min(past, waking))
        return past if sharer.inside and sharer.stage is not Stage.STOPPED else 0
    used = max(0, look.used_ns - sharer.used_ns)
    sharer.used_ns += used
    if holds and device.contested(sharer):
        # What others wait for isn't free because it is left unused. A quarter: who runs loses the
        # device, too, to processes that have no share.
        unused = sharer.unused_ns + past // 4 - used
        used += max(0, unused)
        sharer.unused_ns = max(-device.limits.bank_ns, min(0, unused))
    return used


# what they say


def _noted(device: Device, seen: Mapping[int, Seen], used: Mapping[int, int]) -> list[Sharer]:
    """Note it; those that didn't wait before."""
    fresh: list[Sharer] = []
    now = device.looked_ns
    for sharer in device.sharers.values():
        look = seen.get(sharer.id)
        if look is None:
            continue
        if look.waits and not sharer.waits:
            fresh.append(sharer)
            if sharer.ended_ns != NEVER:
                _asked_again(device, sharer, now - sharer.ended_ns)
        sharer.waits, sharer.inside = look.waits, look.inside
        if device.holder is sharer and look.begun == device.turn:
            device.begun = True
        runs = device.holder is sharer and (look.inside or used[sharer.id] > 0)
        if look.waits or runs:
            sharer.active_ns = now
    return fresh


def _asked_again(device: Device, sharer: Sharer, after_ns: int) -> None:
    sharer.ended_ns = NEVER
    sharer.think_ns += (min(after_ns, 8 * device.limits.think_ns) - sharer.think_ns) // 2


def _is_over(device: Device, seen: Mapping[int, Seen], now: int) -> bool:
    """Whether the turn is; it isn't while the holder, told of it, has yet to wake."""
    holder = device.holder
    look = seen.get(holder.id) if holder else None
    if holder is None or look is None:
        return False
    if look.inside:
        return False
    if look.back == device.turn:
        return True
    free = device.until_ns == ALWAYS
    return bool(device.askers()) and not look.waits if free else device.until_ns <= now


def _end(device: Device, holder: Sharer, now: int) -> None:
    device.holder = None
    holder.floor_ns = min(0, holder.deficit_ns)
    holder.ended_ns = now
    if holder.waits:
        _asked_again(device, holder, 0)


# whose turn is next


def _granted(device: Device, fresh: list[Sharer], now: int) -> list[Action]:
    if device.holder is None:
        chosen = _next(device, now)
        if chosen is None:
            return []
        device.sharers[chosen.id] = device.sharers.pop(chosen.id)
        device.holder, device.began_ns, device.until_ns = chosen, now, 0
        device.begun = False
        device.turn += 1
        fresh = []
    until = _until(device, device.holder, fresh)
    if until == device.until_ns:
        return []
    device.until_ns = until
    return [Allow(device.holder.id, device.turn, until)]


def _next(device: Device, now: int) -> Sharer | None:
    device.awaited = None
    askers = device.askers()
    if not askers:
        # Who is alone needn't ask.
        alone = list(device.sharers.values()) if len(device.sharers) == 1 else []
        return next((s for s in alone if s.stage is Stage.FINE), None)
    owed = next((s for s in askers if s.deficit_ns >= 0), None)
    if owed is None:
        device.awaited = _about_to_ask(device, now)
    if owed or device.awaited:
        return owed
    return max(askers, key=lambda s: s.deficit_ns / s.weight)


def _about_to_ask(device: Device, now: int) -> Sharer | None:
    """One that is owed time and will ask in a moment; until when that is believed is noted."""
    think_ns = device.limits.think_ns
    for sharer in device.sharers.values():
        until = sharer.ended_ns + think_ns
        if sharer.deficit_ns > 0 and sharer.think_ns <= think_ns and now < until:
            device.linger_ns = until
            return sharer
    return None


def _until(device: Device, holder: Sharer, fresh: list[Sharer]) -> int:
    """When the holder's turn ends: its part of a round, if anybody waits."""
    limits, askers = device.limits, device.askers()
    if not askers:
        return ALWAYS
    ahead_of = holder.deficit_ns + limits.ahead_ns
    cut = any(s in askers and s.deficit_ns > ahead_of for s in fresh)
    if not cut and device.until_ns not in (0, ALWAYS):
        return device.until_ns
    weights = holder.weight + sum(s.weight for s in askers)
    part_ns = 0 if cut else limits.round_ns * holder.weight // weights
    return device.began_ns + max(limits.least_turn_ns, part_ns)
