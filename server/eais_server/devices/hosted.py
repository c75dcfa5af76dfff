"""What a driver is besides its four verbs, if a process of the host serves its shares.

Such a process is the listener's, and a worker reaches it by nothing but the lines that it
inherited (`eais_server.process.Line`). Called by the listener, off its event loop where it says
that it blocks; for one device, one call at a time.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from eais_server.devices.driver import Reservation

ModelFiles = Sequence[tuple[str, bytes]]
"""Location and SHA-256 of each file of a model; first the model itself, whose location is ""."""


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """A model that can be loaded onto a device.

    Attributes:
        model: as `eais.model_digest` names it.
        load_s: what that takes, in seconds.
        ready_milli: the largest share that would find it loaded, were it reserved now; 0: none.
    """

    model: str
    load_s: float
    ready_milli: int = 0


@runtime_checkable
class HostedDevice(Protocol):
    """Has images of models provided on shares, and those shares served."""

    @property
    def lines(self) -> int:
        """How many lines a worker of any share may need."""
        ...

    def told(self, share: Reservation, descriptors: Sequence[int]) -> Reservation:
        """The reservation, as the worker is told of it.

        Args:
            share: as `reserve` made it.
            descriptors: of the worker's lines, of which it takes the first.
        """
        ...

    def attach(self, share: Reservation, name: str, ends: Sequence[socket.socket]) -> None:
        """Serve the share; blocks.

        Args:
            share: as `reserve` made it.
            name: whose it is, for people.
            ends: the far ends of the worker's lines, in the order of their descriptors; they
                stay the caller's.

        Raises:
            EaisError: DEVICE_LOST, or what speaks against it; then it isn't served.
        """
        ...

    def image_of(self, files: ModelFiles) -> bytes:
        """What is to be loaded to run a model; blocks. ModelRejected IMAGE_MISSING."""
        ...

    def loads(self, device: str) -> tuple[ModelLoad, ...]:
        """All models that can be loaded onto a device now; blocks. DEVICE_LOST."""
        ...

    def provide(self, share: Reservation, image: bytes) -> float:
        """Have the image loaded wherever the share lacks it; blocks.

        Returns:
            Seconds until it is ready.

        Raises:
            EaisError: DEVICE_LOST, or what speaks against it.
        """
        ...

    def is_alive(self, device: str) -> bool:
        """Whether the process that serves the device is there; never blocks. Main thread."""
        ...

    def revive(self, device: str) -> None:
        """Start one in the place of a process that has ended, without what that had. Main thread.

        Raises:
            RemoteError: PROCESS_FAILED.
        """
        ...

    def ask_health(self, device: str) -> None:
        """Find out whether it serves; blocks. DEVICE_LOST."""
        ...

    def release(self, share: Reservation) -> None:
        """Nobody has the share any more: nothing is left of whoever had; blocks."""
        ...
