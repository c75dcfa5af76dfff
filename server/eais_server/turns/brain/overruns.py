"""Sharers that take more of the device than they have turns for. (Brain)

There are two ways to: a batch that goes on long after its turn's end while others wait, and use
without a turn, by one that never asked or said that it was done. Both show from outside: the
debt grows though there is no turn. First the next turns are withheld until the debt is paid. If
it goes on, the process is stopped until then, for `stop_ns` at a time, with a moment between to
show that it lives. At `kill_ns` of device time used so it is killed. Where nobody else wants the
device all is forgiven but that time; that of a batch is forgiven when it ends.
"""

from __future__ import annotations

from eais_server.turns.brain.actions import Action, Allow, Kill, Resume, Stop, Withhold
from eais_server.turns.brain.state import NEVER, Device, Sharer, Stage

LATE = "a batch doesn't end"
ASTRAY = "it uses the device without a turn"


def judge(device: Device, now: int) -> list[Action]:
    """What to do about sharers that overrun, or have ceased to."""
    found: list[Action] = []
    for sharer in device.sharers.values():
        if sharer.stage is not Stage.FINE and sharer.overran_ns > device.limits.kill_ns:
            found += _kill(sharer)
        elif sharer.stage is Stage.STOPPED:
            found += _resume(device, sharer, now)
        elif device.holder is sharer:
            found += _late(device, sharer, now)
        else:
            found += _astray(device, sharer, now)
    return found


def _late(device: Device, sharer: Sharer, now: int) -> list[Action]:
    """Its batch may go on for some time; then the turn is another's, whether it ends or not."""
    if not device.contested(sharer) or now <= device.until_ns + device.limits.batch_ns:
        return []
    device.holder = None
    sharer.ended_ns, sharer.late = NEVER, True
    return _withhold(device, sharer, LATE, now)


def _astray(device: Device, sharer: Sharer, now: int) -> list[Action]:
    over = sharer.deficit_ns < sharer.floor_ns - device.limits.astray_ns
    sharer.floor_ns = max(sharer.floor_ns, min(0, sharer.deficit_ns))
    if not device.contested(sharer):
        sharer.floor_ns = min(0, sharer.deficit_ns)
        if sharer.stage is Stage.WITHHELD:
            _pardon(sharer)
        return []
    if sharer.stage is Stage.FINE:
        return _withhold(device, sharer, ASTRAY, now) if over else []
    if sharer.stage is not Stage.WITHHELD:
        return []
    if over:
        sharer.stage, sharer.stopped_ns = Stage.STOPPED, now
        return [Stop(sharer.id)]
    if sharer.deficit_ns >= 0 and not sharer.inside:
        _pardon(sharer)
    return []


def _pardon(sharer: Sharer) -> None:
    sharer.stage = Stage.FINE
    if sharer.late and not sharer.inside:
        sharer.late, sharer.overran_ns = False, 0


def _withhold(device: Device, sharer: Sharer, why: str, now: int) -> list[Action]:
    if now - sharer.overran_at_ns > device.limits.forgive_ns:
        sharer.overran_ns = 0
    sharer.overran_at_ns = now
    sharer.stage = Stage.WITHHELD
    sharer.floor_ns = sharer.deficit_ns
    return [Allow(sharer.id, 0, 0), Withhold(sharer.id, why)]


def _resume(device: Device, sharer: Sharer, now: int) -> list[Action]:
    paid = sharer.deficit_ns >= 0 or not device.contested(sharer)
    if not paid and now < sharer.stopped_ns + device.limits.stop_ns:
        return []
    sharer.stage = Stage.WITHHELD
    # A fifth of what is allowed else suffices to show that it lives.
    moment_ns = 0 if paid else device.limits.astray_ns * 4 // 5
    sharer.floor_ns = min(0, sharer.deficit_ns) + moment_ns
    return [Resume(sharer.id)]


def _kill(sharer: Sharer) -> list[Action]:
    if sharer.stage is Stage.KILLED:
        return []
    sharer.stage = Stage.KILLED
    return [Kill(sharer.id)]
