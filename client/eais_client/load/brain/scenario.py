"""A life-cycle scenario: what is done with an instance, step by step, while load is on. (Brain)

A step begins when the one before it has ended. `Load` ends at once: what it asks for stays on
beside the steps that follow, until `LoadOff`, `Detach` or the scenario's end. `Ramp`, `Hold` and
`Wait` last as long as they say; `Kill`, `Drain`, `Resize`, `Stop` and `Start` as long as they take.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from eais.instance_policy import DEFAULT_POLICY, InstancePolicy
from eais_client.load.brain.conditions import Condition
from eais_client.load.brain.plan import Driving, Spacing, Stretch

WARM_CALLS: Final = 10
CLEAN: Final = tuple(map(Condition.parse, ("errors > 0", "unanswered > 0", "wrong > 0")))
"""Under which a scenario has failed that says nothing else."""
PATIENCE_S: Final = 60.0
"""How long a step that takes what it takes may take, unless it says `within`."""


class Victim(StrEnum):
    """What can be killed."""

    WORKER = "worker"
    LISTENER = "listener"


@dataclass(frozen=True, slots=True)
class Attach:
    """Make an instance of `type`, or take the one called `instance`, and start it here.

    `wait_s`: how long it may wait in line for room. `vnic`: its driver, "" for the pool's choice.
    """

    type: str = ""
    instance: str = ""
    policy: InstancePolicy = DEFAULT_POLICY
    wait_s: float = 0.0
    vnic: str = ""

    @property
    def title(self) -> str:
        """For people."""
        return f"attach {self.instance or self.type}"


@dataclass(frozen=True, slots=True)
class Push:
    """Have the model at the instance's host, and open there."""

    title: str = "push"


@dataclass(frozen=True, slots=True)
class Warm:
    """So many calls, one after the other."""

    calls: int = WARM_CALLS

    @property
    def title(self) -> str:
        """For people."""
        return "warm"


@dataclass(frozen=True, slots=True)
class Load:
    """So many requests a second are due from now on; `seconds`: this step lasts so long."""

    per_s: float
    seconds: float = 0.0

    @property
    def title(self) -> str:
        """For people."""
        return f"load {self.per_s:g}/s"


@dataclass(frozen=True, slots=True)
class Ramp:
    """The rate goes evenly from one to the other, where it stays."""

    from_per_s: float
    to_per_s: float
    seconds: float

    @property
    def title(self) -> str:
        """For people."""
        return f"ramp {self.from_per_s:g} to {self.to_per_s:g}/s"


@dataclass(frozen=True, slots=True)
class LoadOff:
    """Nothing more is due; what is under way is waited for."""

    title: str = "load off"


@dataclass(frozen=True, slots=True)
class Hold:
    """Load goes on for so long."""

    seconds: float

    @property
    def title(self) -> str:
        """For people."""
        return f"hold {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class Wait:
    """So long nothing is done."""

    seconds: float

    @property
    def title(self) -> str:
        """For people."""
        return f"wait {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill -9; ends when a request that was due after its death is rightly answered."""

    victim: Victim
    within_s: float = PATIENCE_S

    @property
    def title(self) -> str:
        """For people."""
        return f"kill {self.victim}"


@dataclass(frozen=True, slots=True)
class Drain:
    """Move all that a host holds to others; "" is the instance's. Ends when it is empty.

    The host takes grants again when the scenario ends, or by `Uncordon`.
    """

    host: str = ""
    within_s: float = PATIENCE_S

    @property
    def title(self) -> str:
        """For people."""
        return f"drain {self.host or 'its host'}"


@dataclass(frozen=True, slots=True)
class Uncordon:
    """A host takes grants again."""

    host: str

    @property
    def title(self) -> str:
        """For people."""
        return f"uncordon {self.host}"


@dataclass(frozen=True, slots=True)
class Resize:
    """Another type for the instance."""

    type: str

    @property
    def title(self) -> str:
        """For people."""
        return f"resize {self.type}"


@dataclass(frozen=True, slots=True)
class Stop:
    """Give its shares back; calls fail while it is stopped."""

    title: str = "stop"


@dataclass(frozen=True, slots=True)
class Start:
    """Start it again."""

    title: str = "start"


@dataclass(frozen=True, slots=True)
class Detach:
    """End the load, and undo attach."""

    title: str = "detach"


Step: TypeAlias = (
    Attach
    | Push
    | Warm
    | Load
    | Ramp
    | LoadOff
    | Hold
    | Wait
    | Kill
    | Drain
    | Uncordon
    | Resize
    | Stop
    | Start
    | Detach
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a file asks for.

    Attributes:
        name: for people.
        steps: in their order, the first an `Attach`.
        places: of each step, for people: "FILE:12: step 3 (kill)".
        model: the file, "" if none is named.
        slo_s: an answer that takes longer is late; None: none is.
        spacing, burst: of the load's requests, as `plan.Open` has them.
        driving: how the load is made.
        conditions: under which it has failed.
    """

    name: str
    steps: tuple[Step, ...]
    places: tuple[str, ...]
    model: str = ""
    slo_s: float | None = None
    spacing: Spacing = Spacing.POISSON
    burst: float = 1.0
    driving: Driving = field(default_factory=Driving)
    conditions: tuple[Condition, ...] = CLEAN

    @property
    def calls(self) -> bool:
        """Whether a model is needed for any of its steps."""
        return any(isinstance(step, Push | Warm | Load | Ramp | Kill) for step in self.steps)

    def load_s(self, begin: int) -> float:
        """How long the load that is on at that step may stay on, as far as the steps say."""
        made = 0.0
        for step in self.steps[begin:]:
            if isinstance(step, LoadOff | Detach):
                break
            made += _longest_s(step, otherwise=0.0)
        return made

    def longest_s(self, begin: int) -> float:
        """How long the steps from that place on may last, seconds."""
        return sum(_longest_s(step) for step in self.steps[begin:])


def _longest_s(step: Step, otherwise: float = PATIENCE_S) -> float:
    match step:
        case Load() | Ramp() | Hold() | Wait():
            return step.seconds
        case Kill() | Drain():
            return step.within_s
    return otherwise


def schedule(steps: Sequence[Step], begin: int, left_s: float) -> tuple[Stretch, ...]:
    """The rate from the step at `begin` on, a `Load` or a `Ramp`, until it is changed again.

    It lasts `left_s` at most; nobody knows yet when the next change is.
    """
    match steps[begin]:
        case Load(per_s=rate):
            return (Stretch(left_s, rate, rate),)
        case Ramp(from_per_s=low, to_per_s=high, seconds=seconds):
            after = Stretch(max(0.0, left_s - seconds), high, high)
            return (Stretch(seconds, low, high), after)
    raise ValueError(f"{steps[begin].title} asks for no load")


def order_fault(steps: Iterable[Step]) -> tuple[int, str] | None:
    """The first step that can't be where it is, by its place, and why; None if all can."""
    order = _Order()
    for place, step in enumerate(steps):
        if fault := order.fault(step):
            return place, fault
    return None


class _Order:
    """What is so after the steps so far."""

    def __init__(self) -> None:
        self._attached = self._detached = self._stopped = self._load = False

    def fault(self, step: Step) -> str:
        """Why it can't come now, "" if it can; it has then."""
        if isinstance(step, Wait):
            return ""
        if isinstance(step, Attach):
            if self._attached:
                return "there is an instance already: a scenario is of one"
            self._attached = True
            return ""
        if not self._attached:
            return "nothing is attached yet: the first step is attach"
        if self._detached:
            return "the instance was detached before"
        return self._of_load(step) or self._of_state(step)

    def _of_load(self, step: Step) -> str:
        match step:
            case Hold() | LoadOff() if not self._load:
                return "no load is on" + ("; wait lets time pass" if isinstance(step, Hold) else "")
            case Load() | Ramp():
                self._load = True
            case LoadOff():
                self._load = False
        return ""

    def _of_state(self, step: Step) -> str:
        match step:
            case Start() if not self._stopped:
                return "the instance isn't stopped"
            case Start():
                self._stopped = False
            case Detach():
                self._detached = True
            case Push() | Warm() | Kill() | Drain() | Resize() | Stop() if self._stopped:
                return "the instance is stopped: start comes before"
            case Stop():
                self._stopped = True
        return ""
