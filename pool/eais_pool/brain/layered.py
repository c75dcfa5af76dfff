"""A mapping over another one, which stays as it is. (Brain)

An event is decided on a copy of the pool's state, and most events change a few records of it:
what they change is kept here, and the rest is read from below, so that a copy costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Layered(MutableMapping[K, V]):
    """What `below` has, but for what is changed here; `below` mustn't change meanwhile.

    Its order is a dict's: a key stays in its place as its value changes, and comes last when it
    is new, or was deleted and is back.
    """

    def __init__(self, below: Mapping[K, V]) -> None:
        self._below = below
        self._here: dict[K, V] = {}
        self._gone: set[K] = set()
        self._count = len(below)

    def __getitem__(self, key: K) -> V:
        if key in self._here:
            return self._here[key]
        if key in self._gone:
            raise KeyError(key)
        return self._below[key]

    def __setitem__(self, key: K, value: V) -> None:
        self._count += key not in self
        self._here[key] = value

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        self._count -= 1
        self._here.pop(key, None)
        if key in self._below:
            self._gone.add(key)

    def __contains__(self, key: object) -> bool:
        return key in self._here or (key not in self._gone and key in self._below)

    def __iter__(self) -> Iterator[K]:
        for key in self._below:
            if key not in self._gone:
                yield key
        for key in self._here:
            if key in self._gone or key not in self._below:
                yield key

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"Layered({dict(self)!r})"

    @property
    def below(self) -> Mapping[K, V]:
        """What it is laid over."""
        return self._below

    @property
    def touched(self) -> frozenset[K]:
        """The keys that were set or deleted here."""
        return frozenset(self._here) | self._gone


def touched(mapping: Mapping[K, V]) -> frozenset[K]:
    """The keys that were set or deleted since `mapping` was laid over another; else all."""
    return mapping.touched if isinstance(mapping, Layered) else frozenset(mapping)


def touched_in(mapping: Mapping[K, V]) -> frozenset[K]:
    """The keys for which `unlayered` may be wrong."""
    return mapping.touched if isinstance(mapping, Layered) else frozenset()


def unlayered(mapping: Mapping[K, V]) -> Mapping[K, V]:
    """What `mapping` was laid over, else itself: many keys are looked up in it the sooner."""
    return mapping.below if isinstance(mapping, Layered) else mapping
