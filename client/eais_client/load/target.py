"""What a load test asks of a target, whatever it is.

A target is opened in each process that makes load, from a `TargetSpec`, which travels as JSON.
Its callers are the hot path: `call` does what a program that uses the target would do, and
nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from eais_client.load.brain.plan import ModelLoad
from eais_client.signature import Signature

Feeds = Mapping[str, Any]
"""Input name -> numpy array."""


class TargetKind(StrEnum):
    """What a target is."""

    INSTANCE = "instance"
    ONNXRUNTIME = "onnxruntime"
    SERVER = "server"
    PYTHON = "python"


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """Which target.

    Attributes:
        kind: what it is.
        name: for people, unique in a test: "ei-7f3a", "onnxruntime", "127.0.0.1:8001".
        place: an instance's id; a server's "grpc://HOST:PORT" or "grpcs://…"; "module:attribute"
            of a Python object that makes a `Target`; "" for onnxruntime.
        settings: of its kind, such as "transport" or "tls_ca"; text.
    """

    kind: TargetKind
    name: str
    place: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


class RequestFailed(Exception):
    """A request that failed at a target that isn't EAIS's own.

    Attributes:
        reason: a word that it is counted under, such as a gRPC status.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Split(NamedTuple):
    """Where a request's time went, in seconds; what a target doesn't tell apart is 0.

    Attributes:
        encode_s: making a message of the inputs.
        line_s: waiting at the client until the server had room for it.
        wire_s: between that and the answer, but for the next three.
        queue_s: waiting at the server for its turn.
        batch_s: the part of its batch's run that was of others' requests:
            run time x (1 - 1 / batch_size).
        compute_s: the rest of the run.
        decode_s: making arrays of the answer.
        batch_size: how many ran together, this one included.
    """

    encode_s: float = 0.0
    line_s: float = 0.0
    wire_s: float = 0.0
    queue_s: float = 0.0
    batch_s: float = 0.0
    compute_s: float = 0.0
    decode_s: float = 0.0
    batch_size: int = 1


class Caller(Protocol):
    """One model of a target, for many threads, or for the tasks of one event loop."""

    @property
    def signature(self) -> Signature:
        """The model's inputs and outputs."""
        ...

    def call(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """All outputs, in the model's order. Safe from any thread.

        Raises an `EaisError` or a `RequestFailed`, whose reason is what the failure is counted
        under; others count under the name of their class.
        """
        ...

    async def call_async(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """As `call`, in the running event loop."""
        ...

    def last_split(self) -> Split | None:
        """Where the time of the last call of this thread or task went; None if it isn't known."""
        ...


@dataclass(frozen=True, slots=True)
class ServerTimes:
    """Sums since a server began, of one model; what `Split` says of single requests.

    Times are in seconds. A difference of two of these is what was between.
    """

    requests: int = 0
    executions: int = 0
    queue_s: float = 0.0
    compute_input_s: float = 0.0
    compute_s: float = 0.0
    compute_output_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ServerSide:
    """What can be seen of a target's own processes from here; see `targets.seeing`.

    Attributes:
        pids: of this machine, whose CPU and memory are the target's; they may change.
        why_not: if there are none: why, for people.
    """

    pids: tuple[int, ...] = ()
    why_not: str = ""


class Target(Protocol):
    """A target that is open in this process."""

    def open(self, model: ModelLoad, timeout_s: float) -> Caller:
        """Have `model` ready to be called.

        Raises an `EaisError` that says what is wrong with the model, or the target.
        """
        ...

    def about(self) -> Mapping[str, str]:
        """What it says of itself, for the report: type, version, device, transport, ..."""
        ...

    def server_times(self, model: ModelLoad) -> ServerTimes | None:
        """Its own account of its time so far; None if it has none."""
        ...

    def close(self) -> None:
        """Let go of it; calls under way fail."""
        ...
