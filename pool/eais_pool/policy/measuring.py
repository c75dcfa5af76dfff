"""Which batches to run next, so that little running tells what to choose. (Brain)

Devices are measured at the same time, one batch each. First, each runtime of each device runs a
batch of 1 and one of 8, on a share in the middle of those that there are.

With a demand it is then a race (successive elimination: Even-Dar, Mannor and Mansour, "Action
elimination and stopping conditions for the multi-armed bandit and reinforcement learning
problems", JMLR 7, 2006): what costs more than the cheapest that is expected to meet the SLO is
out, and so is what surely meets or misses it, by `SURE`. Of what is left on a device, that of
which least is sure is measured, on its share and at the size of batches that it would need; of
equal cost the likeliest alone, as one that meets the SLO is enough.
Without an SLO, what is known least, up to twice the knee, is measured until all is known to
`WELL_KNOWN`; on the share of the batch before, as long as there is something.

It is over when nothing is left, and at the latest when the time or a device's batches are
spent. A size that failed isn't tried again, nor are larger ones or smaller shares.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from eais_pool.policy.choosing import Candidate, Runner, cost_of, may_serve
from eais_pool.policy.curves import Curve
from eais_pool.policy.forecasting import Demand, Forecast, forecast, knee, sizes
from eais_pool.policy.measuring_events import (
    Action,
    BatchFailed,
    Began,
    Device,
    DeviceGone,
    Event,
    Finished,
    GiveUp,
    Limits,
    Measured,
    RunBatch,
    Ticked,
    Unbatched,
)
from eais_pool.policy.prices import Prices
from eais_pool.policy.profiles import (
    Profile,
    ProfileKey,
    check_seconds,
)

SURE: Final = 3.0
WELL_KNOWN: Final = 0.06
OPENING: Final = (1, 8)
_PATIENCE: Final = 0.2
"""Of the time: for the first batches of all devices, before any device is measured further."""
_UNTIMELY: Final = 2.0
"""Standard deviations: a batch that takes too long even if it is so much quicker isn't run."""


_Place: TypeAlias = tuple[Runner, int]


@dataclass(eq=False, slots=True)
class _Track:
    """How far a device is."""

    device: Device
    candidates: tuple[Candidate, ...]
    left: int
    running: RunBatch | None = None
    last: _Place | None = None
    samples: dict[_Place, dict[int, list[float]]] = field(default_factory=dict)
    failed: dict[_Place, dict[int, str]] = field(default_factory=dict)
    curves: dict[Runner, Curve] = field(default_factory=dict)
    outlook: dict[Candidate, Forecast | None] = field(default_factory=dict)


class Measuring:
    """What is known so far of one model, and what is being measured.

    Args:
        digest: of the model, SHA-256 in hex.
        known: profiles of it from before, which needn't be measured again.
        demand: what is to be chosen for; None, or without an SLO: nothing yet.
    """

    def __init__(
        self,
        digest: str,
        devices: Iterable[Device],
        prices: Prices,
        *,
        demand: Demand | None = None,
        limits: Limits | None = None,
        known: Iterable[Profile] = (),
    ) -> None:
        self.digest = digest
        self.demand = demand or Demand()
        self.aimed = demand is not None and demand.slo_p99_s is not None
        self.prices = prices
        self.limits = limits or Limits()
        self.known = tuple(known)
        self.until = 0.0
        self.over = False
        self.tracks = {device.id: self._track(device) for device in devices}

    def profiles(self, measured_unix_s: float = 0.0) -> list[Profile]:
        """What was measured, by share and runner; nothing of those that nothing was run on."""
        return [
            profile
            for track in self.tracks.values()
            for profile in self._profiles(track, measured_unix_s)
        ]

    def curves(self) -> dict[Runner, Curve]:
        """What is known of each runner, with what was known before."""
        return {
            runner: curve
            for track in self.tracks.values()
            for runner, curve in track.curves.items()
            if curve.measured
        }

    def learn(self, track: _Track, runner: Runner) -> None:
        """Look again at what a runner of a device would do."""
        mine = [profile for profile in self._profiles(track) if Runner.of(profile) == runner]
        before = [each for each in self.known if Runner.of(each) == runner]
        curve = track.curves[runner] = Curve([*before, *mine])
        for candidate in track.candidates:
            if candidate.runner == runner:
                found = forecast(curve, candidate.share_milli, self.demand)
                track.outlook[candidate] = found

    def cost(self, candidate: Candidate) -> float:
        """What an hour of it costs."""
        return cost_of(candidate, self.prices, self.demand)

    def _track(self, device: Device) -> _Track:
        able = [
            each
            for each in device.candidates
            if may_serve(self.demand, each, self.cost(each)) is None
        ]
        able.sort(key=self.cost)
        track = _Track(device, tuple(able), self.limits.batches)
        for runner in dict.fromkeys(each.runner for each in able):
            self.learn(track, runner)
        return track

    def _profiles(self, track: _Track, measured_unix_s: float = 0.0) -> Iterator[Profile]:
        for place in dict.fromkeys([*track.samples, *track.failed]):
            runner, share = place
            yield Profile.of(
                ProfileKey(
                    self.digest, runner.device_model, share, runner.runtime, runner.precision
                ),
                runner.kind,
                track.samples.get(place, {}),
                failed=track.failed.get(place),
                measured_unix_s=measured_unix_s,
                simulated=track.device.simulated,
            )


def on_event(state: Measuring, event: Event, now: float) -> list[Action]:
    """What to do after `event`; `now` is of a clock that only goes on."""
    if state.over:
        return []
    match event:
        case Began():
            state.until = now + state.limits.seconds + _setup_s(state)
        case Measured() | BatchFailed():
            if not _answered(state, event):
                return []
        case Unbatched(asked, reason):
            _take_one_by_one(state, asked, reason)
        case DeviceGone(device):
            if device in state.tracks:
                state.tracks[device].left = 0
                state.tracks[device].running = None
        case Ticked():
            pass
    if now >= state.until:
        return _stop(state)
    return _go_on(state, now)


def _setup_s(state: Measuring) -> float:
    """Until the last of the devices can serve: that is no part of what measuring may take."""
    found = (each.setup_s for track in state.tracks.values() for each in track.candidates)
    return max(found, default=0.0)


def _answered(state: Measuring, event: Measured | BatchFailed) -> bool:
    """Note what a batch came to; False if nobody waits for it."""
    asked = event.asked
    track = state.tracks.get(asked.device)
    if track is None or track.running != asked:
        return False
    track.running = None
    place = (asked.runner, asked.share_milli)
    reason = event.reason if isinstance(event, BatchFailed) else ""
    if isinstance(event, Measured):
        try:
            for seconds in (event.seconds, *event.more):
                check_seconds("seconds", seconds)
        except ValueError:
            reason = "MALFORMED_MESSAGE"
        else:
            samples = track.samples.setdefault(place, {})
            samples.setdefault(asked.batch, []).extend((event.seconds, *event.more))
    if reason:
        track.failed.setdefault(place, {})[asked.batch] = reason
    state.learn(track, asked.runner)
    return True


def _take_one_by_one(state: Measuring, asked: RunBatch, reason: str) -> None:
    """Measure single items from now on, and note on the largest shares that no more will do."""
    state.demand = replace(state.demand, batch_most=1)
    for track in state.tracks.values():
        if track.running == asked:
            track.running = None
        for runner in track.curves:
            largest = max(e.share_milli for e in track.candidates if e.runner == runner)
            track.failed.setdefault((runner, largest), {})[2] = reason
            state.learn(track, runner)


def _stop(state: Measuring) -> list[Action]:
    running = [track.running for track in state.tracks.values() if track.running is not None]
    for track in state.tracks.values():
        track.running = None
    state.over = True
    return [*(GiveUp(each) for each in running), Finished("the time is spent")]


def _go_on(state: Measuring, now: float) -> list[Action]:
    """The next batch of each device that has none, or the end."""
    idle = [t for t in state.tracks.values() if t.running is None and t.left > 0]
    asked = [_opening(state, track, now) for track in idle]
    if not any(asked) and not _opens(state, now):
        pick = _doubtful if state.aimed else _unknown
        asked = [pick(state, track, now) for track in idle]
    found = [each for each in asked if each is not None]
    for each in found:
        track = state.tracks[each.device]
        track.running, track.left = each, track.left - 1
        track.last = (each.runner, each.share_milli)
    if not any(track.running for track in state.tracks.values()):
        state.over = True
        left = any(track.left for track in state.tracks.values())
        return [Finished("all is known that matters" if left else "the batches are spent")]
    return list(found)


def _opens(state: Measuring, now: float) -> bool:
    """Whether one of the first batches of a device runs, which is waited for a while."""
    if state.until - now < (1 - _PATIENCE) * state.limits.seconds:
        return False
    running = [track.running for track in state.tracks.values()]
    return any(
        each is not None and len(_sampled(state.tracks[each.device], each.runner)) < len(OPENING)
        for each in running
    )


def _opening(state: Measuring, track: _Track, now: float) -> RunBatch | None:
    for runner, curve in track.curves.items():
        shares = [each.share_milli for each in track.candidates if each.runner == runner]
        share = shares[len(shares) // 2]
        for batch in OPENING:
            if (
                batch <= state.demand.batch_most
                and batch not in _sampled(track, runner)
                and (curve.measured or batch == 1)
                and curve.estimate(batch, share).sd > WELL_KNOWN
                and _timely(state, curve, RunBatch(track.device.id, runner, share, batch), now)
            ):
                return RunBatch(track.device.id, runner, share, batch)
    return None


def _sampled(track: _Track, runner: Runner) -> set[int]:
    found: Mapping[_Place, Mapping[int, object]]
    sampled: set[int] = set()
    for found in (track.samples, track.failed):
        for (ran, _), batches in found.items():
            if ran == runner:
                sampled.update(batches)
    return sampled


def _doubtful(state: Measuring, track: _Track, now: float) -> RunBatch | None:
    """Of what might be chosen on this device, that of which it is least sure."""
    bar = min((state.cost(each) for each in _meeting(state)), default=math.inf)
    best: dict[float, tuple[float, RunBatch]] = {}
    for candidate, found in track.outlook.items():
        cost = state.cost(candidate)
        if found is None or cost > bar or (cost in best and best[cost][0] >= found.surety):
            continue
        asked = RunBatch(track.device.id, candidate.runner, candidate.share_milli, found.batch)
        if _timely(state, track.curves[candidate.runner], asked, now):
            best[cost] = (found.surety, asked)
    doubts = [(abs(surety), cost) for cost, (surety, _) in best.items() if abs(surety) < SURE]
    return best[min(doubts)[1]][1] if doubts else None


def _meeting(state: Measuring) -> Iterator[Candidate]:
    for track in state.tracks.values():
        for candidate, found in track.outlook.items():
            if found is not None and found.surety >= 0 and track.curves[candidate.runner].measured:
                yield candidate


def _unknown(state: Measuring, track: _Track, now: float) -> RunBatch | None:
    """The batch of which least is known on this device, on the least and the largest share."""
    unknown: list[tuple[bool, float, int, RunBatch]] = []
    for runner, curve in track.curves.items():
        shares = [each.share_milli for each in track.candidates if each.runner == runner]
        for share in sorted({min(shares), max(shares)}):
            for batch in sizes(min(state.demand.batch_most, 2 * knee(curve, share, state.demand))):
                asked = RunBatch(track.device.id, runner, share, batch)
                sd = curve.estimate(batch, share).sd
                if sd > WELL_KNOWN and _timely(state, curve, asked, now):
                    # Another share, or runtime, is another worker, and a load of the model.
                    moves = track.last != (runner, share)
                    unknown.append((moves, -sd, len(unknown), asked))
    return min(unknown)[3] if unknown else None


def _timely(state: Measuring, curve: Curve, asked: RunBatch, now: float) -> bool:
    """Whether the batch may run at all, in the time that is left, and as fast as is asked."""
    if not curve.may_run(asked.batch, asked.share_milli):
        return False
    if not curve.measured:
        return True
    found = curve.estimate(asked.batch, asked.share_milli)
    least = found.seconds * math.exp(-_UNTIMELY * found.sd)
    return least < min(state.until - now, state.demand.target_s)
