"""What a board's process knows, and what it may say to the world. (Brain)

`management` and `user` are the two functions; each takes what came in and gives back actions.
One request of each socket is answered at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from google.protobuf.message import DecodeError, Message

from eais.errors import EaisError, make_error
from eais.rpc.v1 import common_pb2, fpga_pb2, listener_pb2
from eais_server.devices.fpga.dma import Arena, Buffer, Buffers, HostMemory
from eais_server.devices.fpga.image import Image
from eais_server.devices.fpga.shell import Region, RegionState, Shell

MANAGEMENT: Final = -1
"""Where a reply goes to, beside the regions' numbers."""

_MAX_TEXT_BYTES: Final = 3072
_EPSILON: Final = 1e-6

M = TypeVar("M", bound=Message)


class Role(Protocol):
    """What an image's payload became: it gives the role's results."""

    @property
    def signature(self) -> listener_pb2.Signature:
        """What it takes and gives."""
        ...

    def run(self, feed: dict[str, Any], outputs: Sequence[str]) -> list[tuple[str, Any]]:
        """The results of those names, of all for none; blocks.

        Raises:
            EaisError: as `PreparedRun.execute`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer a request. The descriptor goes along, and is closed then."""

    to: int
    message: fpga_pb2.ManagementReply | fpga_pb2.UserReply
    fd: int | None = None


@dataclass(frozen=True, slots=True)
class Prepare:
    """Check an image and make its role, beside the loop; then `management.prepared`."""

    region: int
    fd: int


@dataclass(frozen=True, slots=True)
class Compute:
    """Run a role, beside the loop, one after the other for each region; then `user.computed`."""

    region: int
    ticket: int
    role: Role
    feed: dict[str, Any]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attach:
    """A region's user function is served on this socket from now on."""

    region: int
    fd: int


@dataclass(frozen=True, slots=True)
class Detach:
    """Close the socket of a region's user function."""

    region: int


@dataclass(frozen=True, slots=True)
class Vanish:
    """End the process as it stands."""


Action: TypeAlias = Reply | Prepare | Compute | Attach | Detach | Vanish
Result: TypeAlias = list[tuple[str, Any]] | EaisError


@dataclass(slots=True)
class Run:
    """A run of a share.

    Attributes:
        ticket: its number among all of the region.
        number: its number for the share.
        output: where the results go; None: the share is gone, so nowhere.
        finishes_at: when it is over, as far as its stated time goes.
        result: None until it was computed.
        answer: what a wait is answered with, once it is over.
        waits_until: until when somebody waits for it; None: nobody does.
    """

    ticket: int
    number: int
    output: Buffer | None
    started_at: float
    finishes_at: float
    result: Result | None = None
    answer: fpga_pb2.Done | EaisError | None = None
    waits_until: float | None = None


@dataclass(slots=True)
class Slot:
    """What is kept of a region beside its state: its role, its share and what that has.

    Attributes:
        share: "" if it is nobody's.
        in_flight: ticket of each run that is computed now or later -> buffers that nobody may
            have before, as it might look at them.
    """

    number: int
    buffers: Buffers
    role: Role | None = None
    share: str = ""
    faults: set[int] = field(default_factory=set)
    registers: fpga_pb2.Registers = field(default_factory=fpga_pb2.Registers)
    run: Run | None = None
    runs: int = 0
    tickets: int = 0
    in_flight: dict[int, list[Buffer]] = field(default_factory=dict)

    def give_back(self, buffers: list[Buffer]) -> None:
        """Buffers that the share has no more."""
        if self.in_flight:
            self.in_flight[max(self.in_flight)] += buffers
            return
        for buffer in buffers:
            self.buffers.give(buffer)

    def landed(self, ticket: int) -> None:
        """A run is computed no more."""
        for buffer in self.in_flight.pop(ticket, []):
            self.buffers.give(buffer)


class Board:
    """All of a board.

    Args:
        shell: its version and regions.
        memory: its own.
        host_memory: makes the host's side of a buffer: its descriptor, and the board's view.
        simulated: whether faults may be injected.
    """

    def __init__(
        self,
        shell: Shell,
        memory: memoryview,
        host_memory: Callable[[int], tuple[int, HostMemory]],
        *,
        simulated: bool = True,
    ) -> None:
        self.shell = shell
        self.arena = Arena(memory)
        self.host_memory = host_memory
        self.simulated = simulated
        self.busy_us = 0
        limit = len(memory) // len(shell.regions)
        self.slots = [Slot(n, Buffers(self.arena, limit)) for n in range(len(shell.regions))]

    def slot(self, number: int) -> Slot:
        """Of a region; `UsageError` NOT_FOUND."""
        self.shell.region(number)
        return self.slots[number]

    def region(self, slot: Slot) -> Region:
        """The region's state."""
        return self.shell.region(slot.number)

    def state_of(self, slot: Slot, now: float) -> fpga_pb2.RegionState:
        """A region, for a reply."""
        region = self.region(slot)
        loading = region.state is RegionState.LOADING
        left = self.shell.ready_in(slot.number, now) if loading else 0.0
        found = fpga_pb2.RegionState(
            state=region.state,
            # Not one more for what a float adds.
            ready_in_ms=math.ceil((left or 0.0) * 1000 - _EPSILON),
            fault=region.fault,
            share=slot.share,
            registers=slot.registers,
        )
        if isinstance(region.image, Image):
            found.image = region.image.digest
            found.computes = region.image.header.computes
        return found


def parsed(data: bytes, mine: type[M], others: type[Message], function: str) -> tuple[str, M]:
    """A request of one function: its kind, and itself.

    Args:
        data: as it came.
        mine: what may come.
        others: what is the other function's.
        function: which that is, for the refusal.

    Raises:
        IdentityError: PERMISSION_DENIED for what is the other's, by its name.
        UsageError: MALFORMED_MESSAGE.
    """
    try:
        message = mine.FromString(data)
        kind = message.WhichOneof("kind")
        other = others.FromString(data).WhichOneof("kind")
    except DecodeError:
        raise make_error("MALFORMED_MESSAGE", "a message that is no protobuf") from None
    if other is not None:
        raise make_error("PERMISSION_DENIED", f"{other} is the {function} function's")
    if kind is None:
        raise make_error("MALFORMED_MESSAGE", "a message of no known kind")
    return kind, message


def error_message(error: EaisError) -> common_pb2.Error:
    """An error, for a reply."""
    text = error.message.encode()[:_MAX_TEXT_BYTES].decode(errors="ignore")
    return common_pb2.Error(reason=error.reason, message=text, metadata=error.metadata)


def error_of(message: common_pb2.Error) -> EaisError:
    """The error that a reply says."""
    return make_error(message.reason, message.message, metadata=dict(message.metadata))
