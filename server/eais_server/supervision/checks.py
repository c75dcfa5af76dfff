"""Checks of devices: a fresh worker, nobody's, runs a small known model there. (Brain)

While a device is suspect no worker is adopted for a share of it. One check decides: it passes,
and what was held against the device counts against the model that ran; or the device is bad. A
check that says nothing, because somebody ended it or the machine gave it no CPU, is made again.
"""

from __future__ import annotations

from collections.abc import Iterator

from eais_server.supervision import actions as do
from eais_server.supervision import events as on
from eais_server.supervision.accusing import condemn, failed, workers_on
from eais_server.supervision.blame import STARVED, from_outside, how_it_ended
from eais_server.supervision.deaths import count
from eais_server.supervision.device import CHECK_TRIES, Device, DeviceEvent, DeviceHealth
from eais_server.supervision.held import Worker
from eais_server.supervision.leaving import kill
from eais_server.supervision.life import WORKER_TABLE, WorkerEvent, WorkerState
from eais_server.supervision.state import State

FAULTY = "its device failed"
"""Why a worker was killed that said so."""


def device_failed(state: State, event: on.DeviceFailed, now: float) -> list[do.Action]:
    """A device is seen to fail without a worker."""
    return failed(state, event.device, event.why, now)


def worker_lost_device(state: State, event: on.WorkerLostDevice, now: float) -> list[do.Action]:
    """A worker says that its device failed: it answers nothing more, and ends."""
    worker = state.workers.get(event.worker)
    if worker is None or worker.killed or worker.seat is None:
        return []
    slot = state.leases[worker.seat[0]].slots[worker.seat[1]]
    ended = kill(worker, FAULTY)
    return [*failed(state, slot.device, event.why, now), ended]


def check_asked(state: State, event: on.CheckAsked, now: float) -> list[do.Action]:
    """An operator wants to know; the answer is what is reported of the device then."""
    device = state.devices.get(event.device)
    if device is not None:
        device.wanted = True
    return []


def checked(state: State, event: on.Checked, now: float) -> list[do.Action]:
    """The worker that made a check says how it ended; it is of no more use."""
    worker = state.workers.get(event.worker)
    if worker is None or worker.state is not WorkerState.CHECKING:
        return []
    device = state.devices[worker.checks]
    worker.checks, device.checker = "", 0
    return [*_decided(state, device, event.why, now), kill(worker, "its check is done")]


def hosted_checked(state: State, event: on.HostedChecked, now: float) -> list[do.Action]:
    """The process that serves a device was looked at."""
    device = state.devices[event.device]
    found = _decided(state, device, event.why, now)
    stale = workers_on(state, device) if event.anew and not event.why else []
    return [*found, *(kill(w, "its device was started anew") for w in stale if not w.killed)]


def check_late(state: State, worker: Worker, now: float) -> list[do.Action]:
    """The known answer doesn't come. Whether that process ever ends is another question."""
    device = state.devices[worker.checks]
    worker.checks, device.checker = "", 0
    why = f"a known answer didn't come within {state.limits.device_check_s:g} s: {device.why}"
    return [*_decided(state, device, why, now), kill(worker, "its check took too long")]


def check_ended(
    state: State, worker: Worker, event: on.WorkerExited, now: float
) -> list[do.Action]:
    """The worker that was making a check has exited without an answer."""
    device = state.devices[worker.checks]
    device.checker = 0
    says_nothing = worker.killed == STARVED or (not worker.killed and from_outside(event))
    if says_nothing and device.tries < CHECK_TRIES:
        device.busy, device.wanted = False, True
        device.tries += 1
        return []
    how = ", ".join(how_it_ended(event).values())
    return _decided(state, device, f"the worker that checked it died ({how})", now)


def _decided(state: State, device: Device, why: str, now: float) -> list[do.Action]:
    """A check is over; `why` it failed, "" if it passed."""
    device.busy, device.wanted, device.tries = False, False, 0
    # Whoever asked for the check hears of it, also when nothing is new.
    told: list[do.Action] = [do.KeepHealth(device.id)]
    if why:
        found = condemn(state, device, why)
        return found if told[0] in found else [*told, *found]
    if device.health is DeviceHealth.BAD:  # somebody saw to it: what was before is over
        device.strikes.clear()
    device.moved(DeviceEvent.PASSED)
    doubts, device.doubts = device.doubts, []
    return [*told, *(a for d in doubts for a in count(state, d.held, d.verdict, now))]


def begin_checks(state: State, now: float) -> Iterator[do.Action]:
    """Have those made that are wanted, as far as there are workers for it."""
    for device in wanted_checks(state):
        if device.hosted:
            device.busy, device.wanted = True, False
            yield do.CheckHosted(device.id)
            continue
        spare = next((w for w in state.workers.values() if w.state is WorkerState.SPARE), None)
        if spare is None:
            return
        spare.state = WORKER_TABLE.after(spare.state, WorkerEvent.CHECK)
        spare.checks, device.checker = device.id, spare.id
        spare.since, spare.deadline = now, now + state.limits.device_check_s
        device.busy, device.wanted = True, False
        yield do.Check(spare.id, device.id)


def wanted_checks(state: State) -> list[Device]:
    """Devices whose check is to begin."""
    if state.stopping:
        return []
    return [device for device in state.devices.values() if device.wanted and not device.busy]
