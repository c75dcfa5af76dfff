"""What can't begin on a bad device is given up at once; what served there waits. (Brain)

A lease that has served keeps its share until the pool has another one for it: nobody is adopted
for it meanwhile, and its calls wait.
"""

from __future__ import annotations

from collections.abc import Iterator

from eais_server.supervision import actions as do
from eais_server.supervision.device import DeviceHealth
from eais_server.supervision.ending import end_lease
from eais_server.supervision.events import Failure
from eais_server.supervision.held import Held, Slot
from eais_server.supervision.slots import slot_failed
from eais_server.supervision.state import State


def give_up_bad(state: State, now: float) -> Iterator[do.Action]:
    """End grants that were never answered, and added shares that never served."""
    for held in list(state.leases.values()):
        for slot in [] if held.releasing or state.stopping else list(held.slots.values()):
            if state.health(slot) is DeviceHealth.BAD and not slot.leaving:
                yield from _give_up(state, held, slot, now)


def _give_up(state: State, held: Held, slot: Slot, now: float) -> list[do.Action]:
    failure = Failure("DEVICE_LOST", f"{slot.device}: {state.devices[slot.device].why}")
    if not slot.proven:
        return slot_failed(state, held, slot, failure, now)
    if held.granted or held.releasing:
        return []
    held.failure = failure
    return end_lease(state, held, 0.0, now)
