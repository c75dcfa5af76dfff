"""Which model is measured now, and where: one at a time, on devices that nobody uses. (Brain)

Somebody asks for it (`ask`), or a session was opened of a model that has no profile on some
device and was still open `after_s` later (`opened`). One device of each model is measured. What
is under way is known nowhere but in memory: a manager that starts anew begins anew, and hosts end
what they measure with their line.

An accelerator is measured while no share of it is held, a CPU on cores that are free; as soon as
the device is wanted, it isn't measured any more. Real accelerators are measured as a whole: below
that nothing but others' use makes a share slower, and there are none. Hosts tell the times of a
simulated device's shares as if others had the rest.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from eais.device_type import WHOLE_MILLI, DeviceKind
from eais.errors import REASONS, DeviceLost, Unavailable
from eais_pool.brain.host_records import DeviceRecord, HostRecord
from eais_pool.brain.placing import device_views
from eais_pool.brain.state import PoolState
from eais_pool.brain.studies import Action, Keep, Model, Order, Rules, Stop, Study
from eais_pool.policy import DeviceView
from eais_pool.policy.candidates import of_device, runners_of, text_of
from eais_pool.policy.choosing import Candidate, Image, Runner
from eais_pool.policy.forecasting import Demand
from eais_pool.policy.measuring import Measuring, on_event
from eais_pool.policy.measuring_events import (
    BatchFailed,
    Began,
    Device,
    DeviceGone,
    Event,
    Finished,
    GiveUp,
    Measured,
    RunBatch,
    Ticked,
    Unbatched,
)
from eais_pool.policy.prices import Prices
from eais_pool.policy.profiles import Profile

WAITING_MOST: Final = 256
"""Models that wait to be measured; more aren't noted."""
ASKED_MOST: Final = 16
"""Of one tenant, that somebody waits for."""
KEPT_S: Final = 600.0
"""How long it can be asked what a study came to."""
_AGAIN_S: Final = 60.0
_LATEST_AGAIN_S: Final = 3600.0
# A reason of these isn't the model's: the device just can't be measured on, now.
_NOT_THE_MODELS: Final = frozenset(
    {"PROCESS_FAILED", "BUG", "ISOLATION_UNAVAILABLE", "QUOTA", "STORE_FULL"}
    | {"IMAGE_MISSING", "IMAGE_INVALID", "IMAGE_UNTRUSTED", "IMAGE_SHELL", "WRONG_STATE"}
)
# These are, and of every size of batch: to go on would kill more workers.
_ENDS: Final = frozenset({"MODEL_CRASHED", "MODEL_QUARANTINED"})


@dataclass(slots=True)
class _Waiting:
    """A model that is to be measured unasked, `due` then."""

    model: Model
    demand: Demand
    due: float
    wait_s: float = _AGAIN_S


class Profiling:
    """What is being measured in the pool. Times are of a clock that only goes on."""

    def __init__(self, prices: Prices, rules: Rules | None = None) -> None:
        self._prices = prices
        self._rules = rules or Rules()
        self._numbers = itertools.count(1)
        self._asked: dict[tuple[str, str], Study] = {}
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._now: Study | None = None

    def ask(self, op_id: str, model: Model, demand: Demand) -> Study | None:
        """The study that `op_id` asked for, or asks for now; None: there are too many."""
        key = (model.tenant, op_id)
        if key not in self._asked:
            if sum(tenant == model.tenant for tenant, _ in self._asked) >= ASKED_MOST:
                return None
            self._asked[key] = Study(f"asked-{op_id}", model, demand, asked=True)
        return self._asked[key]

    def asked_for(self, tenant: str, op_id: str) -> Study | None:
        """The study that was asked for so, if it is remembered."""
        return self._asked.get((tenant, op_id))

    def opened(self, model: Model, demand: Demand, now: float) -> None:
        """A session of it is open."""
        key = (model.tenant, model.digest)
        if self._rules.after_s and key not in self._waiting and len(self._waiting) < WAITING_MOST:
            self._waiting[key] = _Waiting(model, demand, now + self._rules.after_s)

    def on_tick(self, state: PoolState, now: float) -> list[Action]:
        """A second has passed."""
        self._forget(now)
        if self._now is None:
            return self._next(state, now)
        study = self._now
        taken = [each for each in study.places if not _free_yet(state, study, each)]
        actions: list[Action] = []
        for device in taken:
            actions += self._gone(study, device, "it was wanted meanwhile", now)
        return [*actions, *self._tell(study, Ticked(), now)]

    def measured(
        self, study_id: str, number: int, seconds: Iterable[float], now: float
    ) -> list[Action]:
        """A host has timed a batch."""
        study, asked = self._answered(study_id, number)
        first, *more = [*seconds][:64] or [-1.0]
        if study is None or asked is None:
            return []
        return self._tell(study, Measured(asked, first, tuple(more)), now)

    def failed(
        self, study_id: str, number: int, reason: str, message: str, now: float
    ) -> list[Action]:
        """A host couldn't run a batch."""
        study, asked = self._answered(study_id, number)
        if study is None or asked is None:
            return []
        spec = REASONS.get(reason)
        word = reason if spec is not None else "RUN_FAILED"
        not_now = spec is not None and issubclass(spec.error, Unavailable | DeviceLost)
        if not_now or reason in _NOT_THE_MODELS:
            return self._gone(study, asked.device, f"{word}: {message}", now)
        one_by_one = asked.batch > 1 and reason == "INPUT_SHAPE"
        event = Unbatched(asked, word) if one_by_one else BatchFailed(asked, word)
        actions = self._tell(study, event, now)
        if reason in _ENDS:
            actions += self._gone(study, asked.device, f"{word}: {message}", now)
        elif asked.batch == 1:
            self._note(study, asked.device, f"{text_of(asked.runner)}: {word}: {message}")
        return actions

    def host_gone(self, host: str, now: float) -> list[Action]:
        """A host's line ended: it measures no more."""
        study, actions = self._now, list[Action]()
        if study is not None:
            for device in [d for d, place in study.places.items() if place[0] == host]:
                actions += self._gone(study, device, "its host can't be reached", now)
        return actions

    def _forget(self, now: float) -> None:
        late = [k for k, s in self._asked.items() if s.over and now - s.ended_at >= KEPT_S]
        for key in late:
            del self._asked[key]

    def _next(self, state: PoolState, now: float) -> list[Action]:
        for study in self._asked.values():
            if not study.over:
                return self._begin(study, state, now, anew=True)
        for key, waiting in list(self._waiting.items()):
            if waiting.due > now:
                continue
            if not _is_open(state, waiting.model):
                del self._waiting[key]
                continue
            waiting.due, waiting.wait_s = (
                now + waiting.wait_s,
                min(2 * waiting.wait_s, _LATEST_AGAIN_S),
            )
            name = f"opened-{next(self._numbers)}"
            study = Study(name, waiting.model, waiting.demand, asked=False)
            actions = self._begin(study, state, now, anew=False)
            if actions:
                return actions
        return []

    def _begin(self, study: Study, state: PoolState, now: float, *, anew: bool) -> list[Action]:
        known = [] if anew else state.profiles.of(study.model.digest)
        devices = self._devices(study, state, known)
        if not devices:
            study.over, study.ended_at = "there is nothing that could be measured now", now
            return []
        # Simulated devices compute on the host's cores, which are measured before.
        real = [device for device in devices if not device.simulated]
        study.later = [device for device in devices if device.simulated and real]
        self._now = study
        return self._measure(study, real or devices, known, now)

    def _measure(
        self, study: Study, devices: list[Device], known: list[Profile], now: float
    ) -> list[Action]:
        study.measuring = Measuring(
            study.model.digest,
            devices,
            self._prices,
            demand=study.demand,
            limits=self._rules.limits,
            known=known,
        )
        return self._tell(study, Began(), now)

    def _devices(self, study: Study, state: PoolState, known: list[Profile]) -> list[Device]:
        """One device of each model: the first that is free."""
        has = {Runner.of(profile) for profile in known}
        admits = study.demand.tolerance.admits
        found: dict[tuple[str, str], Device] = {}
        for host, view in _views(state):
            key = (view.kind, view.model)
            wanted = {r for r in runners_of(view) if r not in has and admits(r.precision)}
            if key in found or not wanted:
                continue
            shares = [e for e in of_device(view, model=study.model.digest) if _is_measured(view, e)]
            if why := _why_not(state, host, view, study.model.tenant) or _cannot(shares):
                study.unmeasured.setdefault(key, why)
                continue
            fresh = tuple(replace(e, room=True) for e in shares if e.runner in wanted)
            if not fresh:
                continue
            name = f"{host.host}/{view.id}"
            found[key] = Device(name, fresh, view.simulated)
            study.places[name] = (host.host, view.id)
            study.unmeasured.pop(key, None)
        return list(found.values())

    def _answered(self, study_id: str, number: int) -> tuple[Study | None, RunBatch | None]:
        study = self._now
        if study is None or study.id != study_id:
            return None, None
        asked = study.orders.pop(number, None)
        study.batches += asked is not None
        return study, asked

    def _gone(self, study: Study, device: str, why: str, now: float) -> list[Action]:
        """A device isn't measured any more."""
        if study.over or device not in study.places:
            return []
        self._note(study, device, why)
        host, name = study.places.pop(device)
        for number in [n for n, each in study.orders.items() if each.device == device]:
            del study.orders[number]
        return [Stop(host, study.id, name), *self._tell(study, DeviceGone(device), now)]

    def _note(self, study: Study, device: str, why: str) -> None:
        if study.measuring is not None and (track := study.measuring.tracks.get(device)):
            runners = [each.runner for each in track.device.candidates]
            study.unmeasured.setdefault((runners[0].kind.value, runners[0].device_model), why)

    def _tell(self, study: Study, event: Event, now: float) -> list[Action]:
        if study.measuring is None or study.over:
            return []
        actions: list[Action] = []
        for action in on_event(study.measuring, event, now):
            match action:
                case RunBatch():
                    actions.append(self._order(study, action))
                case Finished(why):
                    actions += self._end(study, why, now)
                case GiveUp():
                    pass  # the end of all of it follows
        return actions

    def _order(self, study: Study, asked: RunBatch) -> Order:
        number = next(self._numbers)
        study.orders[number] = asked
        host, device = study.places[asked.device]
        rules = self._rules
        return Order(
            host,
            study.id,
            number,
            study.model,
            device,
            asked.share_milli,
            text_of(asked.runner),
            asked.batch,
            rules.runs,
            rules.within_ms,
        )

    def _end(self, study: Study, why: str, now: float) -> list[Action]:
        hosts = dict.fromkeys(host for host, _ in study.places.values())
        later = [device for device in study.later if device.id in study.places]
        if later and study.measuring is not None:
            known = [*study.measuring.known, *study.measuring.profiles()]
            study.before.append(study.measuring)
            study.later, study.orders = [], {}
            stops = [Stop(host, study.id) for host in hosts]
            return [*stops, *self._measure(study, later, known, now)]
        study.over, study.ended_at = why, now
        study.orders.clear()
        self._now = None
        return [*(Stop(host, study.id) for host in hosts), Keep(study)]


def _views(state: PoolState) -> Iterator[tuple[HostRecord, DeviceView]]:
    for _, host in sorted(state.hosts.items()):
        for view in device_views(state, host):
            yield host, view


def _why_not(state: PoolState, host: HostRecord, view: DeviceView, tenant: str) -> str:
    """Why a device can't be measured now; "" if it can."""
    if not host.reachable:
        return "its host can't be reached"
    if host.cordoned:
        return "its host is cordoned"
    if why := _ill(host.device(view.id)):
        return why
    if not _idle(view):
        return "it isn't idle"
    others = {lease.tenant for lease in state.leases_on(host.host)} - {tenant}
    return "its host serves another tenant" if others and host.isolation < 2 else ""


def _ill(device: DeviceRecord | None) -> str:
    if device is None or device.health == "ok":
        return ""
    return f"it is {device.health}: {device.why}" if device.why else f"it is {device.health}"


def _cannot(shares: list[Candidate]) -> str:
    missing = all(each.image is Image.MISSING for each in shares)
    return "it has no image of this model" if shares and missing else ""


def _idle(view: DeviceView) -> bool:
    if view.kind == DeviceKind.CPU:
        return view.has_room(WHOLE_MILLI)
    return view.free_milli == view.capacity_milli


def _is_measured(view: DeviceView, each: Candidate) -> bool:
    whole = view.kind != DeviceKind.CPU and not view.simulated
    return each.room and (not whole or each.share_milli >= WHOLE_MILLI)


def _free_yet(state: PoolState, study: Study, device: str) -> bool:
    """Whether nobody has been granted what is measured, or could be next."""
    host_name, device_id = study.places[device]
    host = state.hosts.get(host_name)
    views = device_views(state, host) if host and host.reachable else ()
    view = next((each for each in views if each.id == device_id), None)
    if view is None or not _idle(view):
        return False
    running = (each for each in study.orders.values() if each.device == device)
    return all(each.share_milli <= view.free_milli for each in running)


def _is_open(state: PoolState, model: Model) -> bool:
    leases = (each for each in state.all_leases() if each.tenant == model.tenant)
    return any(model.spec in lease.sessions for lease in leases)
