"""The calls that wait to be sent, in order of arrival. (Brain)"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

AnyCall = TypeVar("AnyCall")


@dataclass(slots=True)
class WaitingCalls(Generic[AnyCall]):
    """Calls by their numbers, which grow with arrival: one that comes back has its place again.

    Finding a call takes O(1); adding and removing one O(log n) and moving a block of memory.
    Don't add or remove while iterating.
    """

    _calls: dict[int, AnyCall] = field(default_factory=dict)
    _numbers: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, number: int) -> bool:
        return number in self._calls

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def items(self) -> Iterator[tuple[int, AnyCall]]:
        """Numbers and calls, the first that came first."""
        return ((number, self._calls[number]) for number in self._numbers)

    def values(self) -> Iterator[AnyCall]:
        """The calls, the first that came first."""
        return (self._calls[number] for number in self._numbers)

    def add(self, number: int, call: AnyCall) -> None:
        """Put a call behind those that came before it."""
        if number not in self._calls:
            self._numbers.insert(bisect_left(self._numbers, number), number)
        self._calls[number] = call

    def discard(self, number: int) -> None:
        """Take a call out; nothing if it isn't here."""
        if self._calls.pop(number, None) is not None:
            del self._numbers[bisect_left(self._numbers, number)]
