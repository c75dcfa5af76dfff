"""When the supervisor starts its programs again. (Brain)

A program that ends is started again after a back-off of 50 ms that doubles up
to 5 s, and is back to 50 ms once it lived for 2 s. One that doesn't say in time
that it still moves is killed, and so ends. When the supervisor is told to stop,
programs end in the reverse of the order in which they were started, each killed
if it outlives its grace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from eais.backoff import RESTART, SETTLED_AFTER_S

# Before a silent program is killed, what it said may still have to be read, or it and this
# process may both have stood still and have just been woken up.
SECOND_LOOK_S: Final = 1.0
# A Tick that comes later than this says that this process stood still itself.
STALL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Program:
    """One supervised program. `pid` is 0 while it isn't running.

    By `alive_by_s` it must speak; `doubted`: it didn't, and is looked at once more.
    """

    name: str
    stop_grace_s: float
    pid: int = 0
    started_s: float = 0.0
    failures: int = 0
    start_at_s: float | None = None
    kill_at_s: float | None = None
    alive_by_s: float | None = None
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a program may be silent, in seconds; 0: for ever.

    `start_s` until it serves, `watchdog_s` from one word to the next after that.
    """

    watchdog_s: float = 10.0
    start_s: float = 90.0


@dataclass
class SupervisorState:
    """The programs in the order in which they're started."""

    programs: dict[str, Program] = field(default_factory=dict)
    patience: Patience = Patience()
    stopping: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """The shell started `name`."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class Alive:
    """`name` serves, and moves."""

    name: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """`name` has begun to end."""

    name: str


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
    """End the program (SIGKILL), because of `why`."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Exit:
    """Nothing runs any more: the supervisor ends."""


Event: TypeAlias = Started | Alive | Leaving | Ended | StopAsked | Tick
Action: TypeAlias = Start | Terminate | Kill | Exit


def new_state(
    graces_s: Mapping[str, float], now: float, patience: Patience = Patience()
) -> SupervisorState:
    """All programs due to start at `now`, in the order of `graces_s`."""
    programs = {name: Program(name, grace, start_at_s=now) for name, grace in graces_s.items()}
    return SupervisorState(programs, patience)


def on_event(state: SupervisorState, event: Event, now: float) -> list[Action]:
    """Take in what happened and say what to do."""
    match event:
        case Started(name, pid):
            _put(state, name, pid=pid, started_s=now, start_at_s=None)
            _await_word(state, name, now, state.patience.start_s)
            return []
        case Alive(name):
            _await_word(state, name, now, state.patience.watchdog_s)
            return []
        case Leaving(name):
            _on_leaving(state, name, now)
            return []
        case Ended(name):
            return _on_ended(state, name, now)
        case StopAsked():
            return [] if state.stopping else _on_stop(state, now)
        case Tick():
            return _due(state, now)


def next_wake(state: SupervisorState) -> float | None:
    """When the next `Tick` is due, in the clock of `now`; None: no need."""
    programs = state.programs.values()
    times = (t for p in programs for t in (p.start_at_s, p.kill_at_s, p.alive_by_s))
    return min((time for time in times if time is not None), default=None)


def _put(state: SupervisorState, name: str, **changes: float | None) -> None:
    state.programs[name] = replace(state.programs[name], **changes)  # type: ignore[arg-type]


def _await_word(state: SupervisorState, name: str, now: float, within_s: float) -> None:
    """Look for the program's next word within that time, if it is one to be waited for."""
    program = state.programs[name]
    if program.pid and program.kill_at_s is None:
        by = now + within_s if within_s > 0 else None
        _put(state, name, alive_by_s=by, doubted=False)


def _on_leaving(state: SupervisorState, name: str, now: float) -> None:
    program = state.programs[name]
    if program.pid and program.kill_at_s is None:
        _put(state, name, alive_by_s=None, kill_at_s=now + program.stop_grace_s)


def _on_ended(state: SupervisorState, name: str, now: float) -> list[Action]:
    program = state.programs[name]
    _put(state, name, pid=0, kill_at_s=None, alive_by_s=None)
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
    _put(state, last.name, kill_at_s=now + last.stop_grace_s, alive_by_s=None)
    return [Terminate(last.name)]


def _due(state: SupervisorState, now: float) -> list[Action]:
    actions: list[Action] = []
    for name, program in list(state.programs.items()):
        if program.start_at_s is not None and program.start_at_s <= now:
            _put(state, name, start_at_s=None)
            actions.append(Start(name))
        if program.kill_at_s is not None and program.kill_at_s <= now:
            _put(state, name, kill_at_s=None)
            actions.append(Kill(name, "its grace is over"))
        if program.alive_by_s is not None and program.alive_by_s <= now:
            actions += _silent(state, program, program.alive_by_s, now)
    return actions


def _silent(state: SupervisorState, program: Program, by_s: float, now: float) -> list[Action]:
    """Kill a program that said nothing, at the second look that wasn't late itself."""
    if not program.doubted or now - by_s > STALL_S:
        _put(state, program.name, doubted=True, alive_by_s=now + SECOND_LOOK_S)
        return []
    _put(state, program.name, alive_by_s=None)
    return [Kill(program.name, "it doesn't say that it moves")]
