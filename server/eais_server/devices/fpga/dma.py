"""A board's memory, and the buffers that shares have of it. (Brain)

A buffer has two sides of one size: the host's, which the board shares with one worker, and the
device's, which is a part of the board's own memory. Transfers copy between them. A part that is
given back is zeroed before anybody can have it again; the host's side is never used twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from eais.errors import EaisError, make_error

PAGE_BYTES: Final = 4096
MAX_BUFFERS: Final = 64
"""That a share may have at once."""

TURNOVER: Final = 16
"""How often over a share may have its bytes: a worker may keep the host's side of what it freed."""


class HostMemory(Protocol):
    """The host's side of a buffer, as the board sees it."""

    @property
    def view(self) -> memoryview:
        """All of it."""
        ...

    def close(self) -> None:
        """The board looks at it no more."""
        ...


class Extent(NamedTuple):
    """A part of a board's memory."""

    offset: int
    size: int


class Arena:
    """A board's memory: takes and gives back parts of it, in whole pages, the first that fits."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._free = [Extent(0, len(memory))]

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self._memory)

    @property
    def used(self) -> int:
        """In bytes."""
        return self.size - sum(extent.size for extent in self._free)

    def take(self, size: int) -> Extent:
        """A part of at least `size` bytes, all zeros; `RemoteError` QUOTA if none is left."""
        need = -(-size // PAGE_BYTES) * PAGE_BYTES
        for index, extent in enumerate(self._free):
            if extent.size >= need:
                rest = Extent(extent.offset + need, extent.size - need)
                self._free[index : index + 1] = [rest] if rest.size else []
                return Extent(extent.offset, need)
        raise make_error("QUOTA", f"the board's memory has no {need} bytes in one piece left")

    def give(self, extent: Extent) -> None:
        """Have a part back, and zero it."""
        self.view(extent)[:] = bytes(extent.size)
        merged: list[Extent] = []
        for one in sorted([*self._free, extent]):
            if merged and merged[-1].offset + merged[-1].size == one.offset:
                merged[-1] = Extent(merged[-1].offset, merged[-1].size + one.size)
            else:
                merged.append(one)
        self._free = merged

    def view(self, extent: Extent) -> memoryview:
        """The bytes of a part."""
        return self._memory[extent.offset : extent.offset + extent.size]


@dataclass(frozen=True, slots=True)
class Buffer:
    """A buffer of a share. `device` is of `size` bytes, as the host's side is."""

    size: int
    extent: Extent
    device: memoryview = field(repr=False)
    host: HostMemory = field(repr=False)


class Buffers:
    """The buffers of one share, by numbers that are its own.

    Args:
        arena: of the board.
        limit_bytes: of all of them together.
    """

    def __init__(self, arena: Arena, limit_bytes: int) -> None:
        self._arena = arena
        self._limit = limit_bytes
        self._found: dict[int, Buffer] = {}
        self._last = self._handed_out = 0

    def add(self, size: int, host: Callable[[int], HostMemory]) -> int:
        """A new buffer; its number.

        Raises:
            UsageError: ARGUMENT for no size.
            RemoteError: QUOTA for too many buffers or bytes.
        """
        if size <= 0:
            raise make_error("ARGUMENT", "a buffer has at least one byte")
        if len(self._found) >= MAX_BUFFERS:
            raise _quota("buffers", MAX_BUFFERS)
        if size + sum(buffer.size for buffer in self._found.values()) > self._limit:
            raise _quota("bytes of buffers", self._limit)
        if self._handed_out + size > TURNOVER * self._limit:
            raise _quota("bytes of buffers in all its life", TURNOVER * self._limit)
        extent = self._arena.take(size)
        try:
            memory = host(size)
        except OSError as error:
            self._arena.give(extent)
            raise make_error("QUOTA", f"the host has no memory: {error.strerror}") from None
        self._last += 1
        self._handed_out += size
        device = self._arena.view(extent)[:size]
        self._found[self._last] = Buffer(size, extent, device, memory)
        return self._last

    def find(self, number: int) -> Buffer:
        """Buffer `number`; `UsageError` NOT_FOUND, whether it is another's or nobody's."""
        try:
            return self._found[number]
        except KeyError:
            raise make_error("NOT_FOUND", "the share has no such buffer") from None

    def part(self, number: int, offset: int, size: int) -> tuple[memoryview, memoryview]:
        """Some bytes of a buffer: the host's side, the device's.

        Raises:
            UsageError: NOT_FOUND; ARGUMENT for what isn't inside it.
        """
        buffer = self.find(number)
        if offset + size > buffer.size:
            raise make_error(
                "ARGUMENT", f"{size} bytes from {offset} on of a buffer of {buffer.size}"
            )
        end = offset + size
        return buffer.host.view[offset:end], buffer.device[offset:end]

    def remove(self, number: int) -> Buffer:
        """Take one away, for `give`; `UsageError` NOT_FOUND."""
        self.find(number)
        return self._found.pop(number)

    def clear(self) -> list[Buffer]:
        """Take all of them away, for `give`; numbers begin anew, so that they tell nothing."""
        found = list(self._found.values())
        self._found.clear()
        self._last = self._handed_out = 0
        return found

    def give(self, buffer: Buffer) -> None:
        """Let go of one that was taken away."""
        buffer.host.close()
        self._arena.give(buffer.extent)


def _quota(what: str, limit: int) -> EaisError:
    return make_error(
        "QUOTA", f"a share has at most {limit} {what}", metadata={"limit": str(limit)}
    )
