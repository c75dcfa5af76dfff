"""What a device driver is: four verbs, one file a driver.

`fingerprint`, `reserve` and `stats` are called by the listener, which never
loads a model; `open` is called by a worker, on the share that was reserved for
it. A driver's module imports its runtime inside `open` alone, so that the
listener doesn't.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol

from eais.device_type import DeviceKind
from eais.tolerance import Precision


class Enforcement(StrEnum):
    """How a share is kept: by agreement of the workers, or against their will."""

    COOPERATIVE = "cooperative"
    FORCED = "forced"


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs models on a device, such as "onnxruntime", and what it computes in."""

    name: str
    precision: Precision = Precision.FP32

    def __str__(self) -> str:
        return f"{self.name}/{self.precision}"


REFERENCE: Final = Runtime("onnxruntime")
"""On a CPU's device: the one whose answers all others are compared with."""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device as its driver found it.

    A second driver may describe a device of the same id: then it runs models on that device
    too, and shares are the first one's to reserve.

    Attributes:
        id: unique on its host, such as "cpu0".
        model: as its maker calls it.
        memory_bytes: of the device; a CPU's is the host's.
        capacity_milli: in milli-devices; a CPU has 1000 a core.
        granularity_milli: shares are multiples of this.
        share_limit_milli: one share spans at most this many.
        piece_enforcement: of shares below a whole one, if it is otherwise than `enforcement`.
        runtimes: what this driver can open sessions with, the plainest first.
        needs: the files that a runtime opens to use it, which no worker of isolation level 2 can.
        attach_s: seconds until a share of it can serve, where that takes long, beside what it
            takes to load a model.
        unenforced: why no share of it can be enforced, so that it lends nothing; the listener
            finds that out by `DeviceDriver.reserve`.
    """

    id: str
    kind: DeviceKind
    model: str
    memory_bytes: int
    capacity_milli: int
    granularity_milli: int
    share_limit_milli: int
    enforcement: Enforcement
    simulated: bool = False
    runtimes: tuple[Runtime, ...] = (REFERENCE,)
    attach_s: float = 0.0
    piece_enforcement: Enforcement | None = None
    needs: tuple[str, ...] = ()
    unenforced: str = ""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A share of one device, and the host's cores that serve it.

    Attributes:
        milli: in milli-devices.
        threads: runtime threads of the share, at least 1.
        cores: CPU cores to run on, by number; empty: any.
        memory_bytes: of the device, at most; 0: as much as there is.
        process_memory_bytes: of the host, private to the worker and beside what its programs
            need, at most; the kernel keeps it. 0: no limit.
        words: what the driver in the listener says to itself in the worker.
        turns: what it shares with others by turns, such as "cpu0/3"; "": nothing.
        unit: of a device that has several, in which the share lies if it is a piece of one.
        enforcement: of this share, where it isn't that of its device.
    """

    device: str
    milli: int
    threads: int
    cores: tuple[int, ...] = ()
    memory_bytes: int = 0
    process_memory_bytes: int = 0
    words: Mapping[str, str] = field(default_factory=dict)
    turns: str = ""
    unit: int = 0
    enforcement: Enforcement | None = None


@dataclass(frozen=True, slots=True)
class DeviceStats:
    """Cumulative counters of a device, and what is in use now.

    Attributes:
        busy_ns: time worked since some fixed moment, all its cores together.
        memory_used_bytes: of `DeviceInfo.memory_bytes`.
    """

    device: str
    busy_ns: int
    memory_used_bytes: int


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model's files, as the listener linked them into the worker's directory.

    Attributes:
        path: the model itself; its external data lies at its locations beside it.
        manifest: location to size in bytes of each file of external data.
        from_path: whether the caller had a path too (else bytes), for which the
            runtime words its errors otherwise.
    """

    path: Path
    manifest: Mapping[str, int] = field(default_factory=dict)
    from_path: bool = True


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """The caller's session options, numbered and named as onnxruntime does."""

    graph_optimization_level: int = 99
    execution_mode: int = 0
    config_entries: Mapping[str, str] = field(default_factory=dict)
    free_dimensions_by_name: Mapping[str, int] = field(default_factory=dict)
    free_dimensions_by_denotation: Mapping[str, int] = field(default_factory=dict)
    mem_pattern: bool = True
    cpu_mem_arena: bool = True
    deterministic_compute: bool = False


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The caller's options of one run."""

    config_entries: Mapping[str, str] = field(default_factory=dict)
    tag: str = ""


PLAIN_RUN: Final = RunSettings()
"""Of a run for which there are none."""


@dataclass(frozen=True, slots=True)
class ValueSpec:
    """An input or output as the model declares it.

    Attributes:
        type: in onnxruntime's words, such as "tensor(float)".
        dims: a size, a symbol, or None for unknown, for each axis; () also for
            what is no tensor.
    """

    name: str
    type: str
    dims: tuple[int | str | None, ...]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model's file says of itself."""

    producer_name: str
    graph_name: str
    domain: str
    description: str
    graph_description: str
    version: int
    custom_metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SessionSignature:
    """What a session takes and gives."""

    inputs: tuple[ValueSpec, ...]
    outputs: tuple[ValueSpec, ...]
    overridable_initializers: tuple[ValueSpec, ...]
    model: ModelInfo
    providers: tuple[str, ...]


class PreparedRun(Protocol):
    """A run, which another thread may end early."""

    def execute(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        """Run; blocks. Outputs in the order asked for; all of them for none.

        Again and again, but not after `terminate`, nor on two threads at once.

        Values are numpy arrays, `eais.value.RawTensor`, lists, dicts of scalars, or None.

        Raises:
            EaisError: an INPUT_… or OUTPUT_… reason, RUN_FAILED or RUN_MEMORY, with the
                runtime's own words, and its class as metadata `onnxruntime_class`.
        """
        ...

    def terminate(self) -> None:
        """Ask the run to stop between two nodes; harmless before, after and twice."""
        ...

    @property
    def terminated(self) -> bool:
        """Whether `terminate` was called."""
        ...


class RuntimeSession(Protocol):
    """A model, ready to run on a share."""

    @property
    def signature(self) -> SessionSignature:
        """What it takes and gives."""
        ...

    def prepare(self, settings: RunSettings) -> PreparedRun:
        """A run to be. Raises `ModelRejected` OPTION_REFUSED."""
        ...


class DeviceDriver(Protocol):
    """The four verbs."""

    def fingerprint(self) -> list[DeviceInfo]:
        """The devices that are here, and what each can do; the same at each call."""
        ...

    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        """How a share of `milli` would be kept beside those `held`; changes nothing.

        Raises:
            UsageError: NOT_FOUND for a device that isn't here, ARGUMENT for a share that
                can't be enforced.
            Unavailable: NO_DEVICE when `held` leaves too little.
        """
        ...

    def open(
        self,
        share: Reservation,
        model: ModelSource,
        settings: SessionSettings,
        runtime: Runtime = REFERENCE,
    ) -> RuntimeSession:
        """Load a model onto a share; blocks, for as long as its optimisers like.

        Args:
            share: as `reserve` made it, maybe in another process.
            model: its files.
            settings: the caller's.
            runtime: one of those that the device's `DeviceInfo` names.

        Raises:
            ModelRejected: with the runtime's own words where it was the one to refuse.
        """
        ...

    def stats(self) -> list[DeviceStats]:
        """Counters of each device, in the order of `fingerprint`."""
        ...
