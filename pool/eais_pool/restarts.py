"""When the supervisor starts its programs again. (Brain)

A program that ends is started again after a back-off of 50 ms that doubles up
to 5 s, and is back to 50 ms once it lived for 2 s. When the supervisor is told
to stop, programs end in the reverse of the order in which they were started,
each killed if it outlives its grace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from eais.backoff import RESTART, SETTLED_AFTER_S


@dataclass(frozen=True, slots=True)
class Program:
    """One supervised program. `pid` is 0 while it isn't running."""

    name: str
    stop_grace_s: float
    pid: int = 0
    started_s: float = 0.0
    failures: int = 0
    start_at_s: float | None = None
    kill_at_s: float | None = None


@dataclass
class SupervisorState:
    """The programs in the order in which they're started."""

    programs: dict[str, Program] = field(default_factory=dict)
    stopping: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """The shell started `name`."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class Ended:
    """`name` has exited."""

    name: str


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The supervisor was told to stop."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start the program now."""

    name: str


@dataclass(frozen=True, slots=True)
class Terminate:
    """Ask the program to end (SIGTERM)."""

    name: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End the program (SIGKILL)."""

    name: str


@dataclass(frozen=True, slots=True)
class Exit:
    """Nothing runs any more: the supervisor ends."""


Event: TypeAlias = Started | Ended | StopAsked | Tick
Action: TypeAlias = Start | Terminate | Kill | Exit


def new_state(graces_s: Mapping[str, float], now: float) -> SupervisorState:
    """All programs due to start at `now`, in the order of `graces_s`."""
    programs = {name: Program(name, grace, start_at_s=now) for name, grace in graces_s.items()}
    return SupervisorState(programs)


def on_event(state: SupervisorState, event: Event, now: float) -> list[Action]:
    """Take in what happened and say what to do."""
    match event:
        case Started(name, pid):
            _put(state, name, pid=pid, started_s=now, start_at_s=None)
            return []
        case Ended(name):
            return _on_ended(state, name, now)
        case StopAsked():
            return [] if state.stopping else _on_stop(state, now)
        case Tick():
            return _due(state, now)


def next_wake(state: SupervisorState) -> float | None:
    """When the next `Tick` is due, in the clock of `now`; None: no need."""
    times = (t for p in state.programs.values() for t in (p.start_at_s, p.kill_at_s))
    return min((time for time in times if time is not None), default=None)


def _put(state: SupervisorState, name: str, **changes: float | None) -> None:
    state.programs[name] = replace(state.programs[name], **changes)  # type: ignore[arg-type]


def _on_ended(state: SupervisorState, name: str, now: float) -> list[Action]:
    program = state.programs[name]
    _put(state, name, pid=0, kill_at_s=None)
    if state.stopping:
        return _stop_next(state, now)
    settled = now - program.started_s >= SETTLED_AFTER_S
    failures = 1 if settled else program.failures + 1
    _put(state, name, failures=failures, start_at_s=now + RESTART.wait_s(failures))
    return []


def _on_stop(state: SupervisorState, now: float) -> list[Action]:
    state.stopping = True
    for name in state.programs:
        _put(state, name, start_at_s=None)
    return _stop_next(state, now)


def _stop_next(state: SupervisorState, now: float) -> list[Action]:
    running = [program for program in state.programs.values() if program.pid]
    if not running:
        return [Exit()]
    last = running[-1]
    if last.kill_at_s is not None:
        return []
    _put(state, last.name, kill_at_s=now + last.stop_grace_s)
    return [Terminate(last.name)]


def _due(state: SupervisorState, now: float) -> list[Action]:
    actions: list[Action] = []
    for name, program in list(state.programs.items()):
        if program.start_at_s is not None and program.start_at_s <= now:
            _put(state, name, start_at_s=None)
            actions.append(Start(name))
        if program.kill_at_s is not None and program.kill_at_s <= now:
            _put(state, name, kill_at_s=None)
            actions.append(Kill(name))
    return actions
