"""What a scenario's steps act on, and who is told: the runner's seams.

The real ones are `scenario_pool.PoolWorld` and `background.Background`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from eais_client.load.brain import scenario as steps
from eais_client.load.brain.plan import Stretch
from eais_client.load.brain.scenario import Scenario
from eais_client.load.record import PhaseRecord, Seen


class Stopped(Exception):
    """Somebody ended the scenario before its time."""


@dataclass(frozen=True, slots=True)
class Attached:
    """An instance that is attached.

    Attributes:
        instance: its id.
        said: where it is.
        before: it was so before: the scenario's end leaves it so.
    """

    instance: str
    said: str
    before: bool = False


@dataclass(frozen=True, slots=True)
class Death:
    """Who was killed, and how it was followed.

    Attributes:
        said: "worker 4711".
        title: of the process, and of who takes its place.
        before: those with that title before.
        sent: when the signal was sent; `gone`: when it had ended; monotonic seconds.
    """

    said: str
    title: str
    before: frozenset[int]
    sent: float
    gone: float


class Traffic(Protocol):
    """Calls to the instance."""

    @property
    def on(self) -> bool:
        """Whether load was begun, and not ended."""
        ...

    def check(self) -> None:
        """Raise what ended the load, if it isn't on any more though it should be."""
        ...

    def warm(self, calls: int) -> None:
        """So many calls, one after the other; raises what one of them raises."""
        ...

    def change(self, stretches: Sequence[Stretch], expected_s: float) -> float:
        """Ask this from a moment on, which it says; begins the load if none is on.

        `expected_s`: after which the load will be over, for who watches it.
        """
        ...

    def end(self) -> PhaseRecord:
        """End the load, and wait for the answers."""
        ...

    def stop(self) -> PhaseRecord:
        """End the load, and wait for hardly a moment."""
        ...

    def requests(self) -> list[Seen]:
        """What became of each, as far as it is known."""
        ...

    def wait_heard(self, seconds: float) -> None:
        """Until more is known, or so long."""
        ...

    def close(self) -> None:
        """Be done with it."""
        ...


class World(Protocol):
    """What a scenario acts on. Each verb is done when it returns, and raises `EaisError`s."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def pause(self, seconds: float) -> None:
        """Let that time pass; raises `Stopped` if the scenario is to end."""
        ...

    def check(self, scenario: Scenario) -> None:
        """Raise what would hinder a step, as far as it can be known before the first."""
        ...

    def attach(self, step: steps.Attach) -> Attached:
        """Attach an instance."""
        ...

    def push(self, instance: str) -> str:
        """What was sent."""
        ...

    def traffic(self, instance: str) -> Traffic:
        """Ready to call; made once."""
        ...

    def kill(self, instance: str, victim: steps.Victim) -> Death:
        """Kill what serves the instance."""
        ...

    def successor(self, death: Death, within_s: float) -> str:
        """Wait for who takes the place of the dead; what to say of it."""
        ...

    def drain(self, instance: str, host: str, within_s: float) -> str:
        """Drain a host, "" the instance's; what came of it."""
        ...

    def uncordon(self, host: str) -> str:
        """Have a host take grants again."""
        ...

    def resize(self, instance: str, type: str) -> str:
        """Give it another type."""
        ...

    def stop(self, instance: str) -> str:
        """Stop it."""
        ...

    def start(self, instance: str) -> str:
        """Start it."""
        ...

    def detach(self, instance: str) -> str:
        """Detach it."""
        ...

    def restore(self) -> Sequence[str]:
        """Undo what was done to hosts; what couldn't be."""
        ...


class Watcher(Protocol):
    """Who is told how far a scenario is, from the thread that runs it."""

    def stage(self, text: str) -> None:
        """What is done now."""
        ...

    def step(self, number: int, of: int, title: str, seconds: float, said: str) -> None:
        """A step is done; `number` counts from 1."""
        ...
