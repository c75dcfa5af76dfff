"""What an agent is to do, and what it holds once that is done. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from eais.net.plan import VnicKey
from eais_server.net.brain.records import Held, Place, Record, State

_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Write:
    """Write a record down, durably, in the place of the one of the same key."""

    record: Record


@dataclass(frozen=True, slots=True)
class Drop:
    """Take a record away, durably."""

    key: VnicKey


@dataclass(frozen=True, slots=True)
class Guard:
    """Have the firewall as what is held has it."""


@dataclass(frozen=True, slots=True)
class Make:
    """Have the interface of an end, as its record says; also where it is there already."""

    key: VnicKey


@dataclass(frozen=True, slots=True)
class Take:
    """Take an interface away; one that isn't there is nothing."""

    place: Place


Action = Write | Drop | Guard | Make | Take


def after(state: State, action: Action) -> State:
    """What is held once `action` is done."""
    if isinstance(action, Write):
        return _with(state, action.record)
    if isinstance(action, Drop):
        return _without(state, action.key)
    return state


def _with(state: State, record: Record) -> State:
    bare = _without(state, record.key)
    if isinstance(record, Held):
        return replace(bare, held={**bare.held, record.key: record})
    return replace(bare, tombstones={**bare.tombstones, record.key: record})


def _without(state: State, key: VnicKey) -> State:
    return State(_but(state.held, key), _but(state.tombstones, key))


def _but(mapping: Mapping[VnicKey, _V], key: VnicKey) -> dict[VnicKey, _V]:
    return {each: value for each, value in mapping.items() if each != key}
