"""What sharers owe each other: used time is handed out again, by weight. (Brain)

Deficit round robin, paid afterwards: a batch costs what it took, however long. Who uses a
nanosecond owes it; all that run or wait are owed their parts of it. So what is owed and due adds
up to nothing, who is alone owes nothing, and over any time in which two are busy their shares are
off by what the deficits changed, over that time.

Who is away is paid back what it is owed while it owes (a debt isn't slept off), and for
`memory_ns` earns up to `credit_ns`, so that who is away for a moment loses nothing. Then its
credit is forgiven to those who owe it: nobody saves up.
"""

from __future__ import annotations

from collections.abc import Mapping

from eais_server.turns.brain.state import Device, Sharer, Stage


def charge(device: Device, used: Mapping[int, int], now: int) -> None:
    """Note device time that sharers used since the last look."""
    for sharer in list(device.sharers.values()):
        ns = used.get(sharer.id, 0)
        if ns > 0:
            if sharer.stage is not Stage.FINE and not sharer.excused:
                sharer.overran_ns += ns
            sharer.deficit_ns -= ns
            _hand_out(device, sharer, ns, now)


def _hand_out(device: Device, user: Sharer, ns: int, now: int) -> None:
    active = [s for s in device.sharers.values() if s is user or device.busy(s)]
    away = [s for s in device.sharers.values() if s not in active]
    rooms = [(s, room) for s in away if (room := _room(device, s, now)) > 0]
    weights = sum(s.weight for s in active) + sum(s.weight for s, _ in rooms)
    left = ns
    for sharer, room in rooms:
        part = min(room, ns * sharer.weight // weights)
        sharer.deficit_ns += part
        left -= part
    user.deficit_ns += left - _by_weight([s for s in active if s is not user], user, left)


def _by_weight(others: list[Sharer], user: Sharer, ns: int) -> int:
    """Hand out the parts of `others`; how much that was."""
    weights = user.weight + sum(s.weight for s in others)
    given = 0
    for sharer in others:
        part = ns * sharer.weight // weights
        sharer.deficit_ns += part
        given += part
    return given


def _room(device: Device, sharer: Sharer, now: int) -> int:
    """How much one that is away may earn."""
    recent = now - sharer.active_ns < device.limits.memory_ns
    return (device.limits.credit_ns if recent else 0) - sharer.deficit_ns


def forget(device: Device, now: int) -> None:
    """Take the credit of those that were away for too long."""
    for sharer in device.sharers.values():
        old = now - sharer.active_ns >= device.limits.memory_ns
        if sharer.deficit_ns > 0 and old and not device.busy(sharer):
            settle(device, sharer)


def settle(device: Device, sharer: Sharer) -> None:
    """Owe it nothing, and let it owe nothing: those on the other side share the difference."""
    left, sharer.deficit_ns = sharer.deficit_ns, 0
    others = [s for s in device.sharers.values() if s.deficit_ns * left < 0]
    total = sum(s.deficit_ns for s in others)
    for other in others:
        # What they have together is at least what is left, the other way round.
        part = left * other.deficit_ns // total
        total -= other.deficit_ns
        other.deficit_ns += part
        left -= part
