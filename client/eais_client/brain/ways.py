"""Which ends of vNICs lead to an instance, and which aren't needed any more. (Brain)"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

from eais.instance import InstanceState
from eais.net.plan import VnicKey
from eais_client.instances import Instance
from eais_client.vnic_end import VnicEnd

_LEADS_SOMEWHERE: Final = frozenset({InstanceState.IN_USE, InstanceState.DRAINING})


@dataclass(frozen=True, slots=True)
class Ways:
    """The ends of an instance's vNICs on this host.

    Attributes:
        here: to where it is; None: its driver needs none.
        coming: to where it is about to move; perhaps it never does.
        left: to where it was, while there may be calls.
    """

    here: VnicEnd | None = None
    coming: VnicEnd | None = None
    left: tuple[VnicEnd, ...] = ()

    def learned(self, instance: Instance) -> Ways:
        """The pool says how the instance is; while it doesn't say where, all stays as it is."""
        return self.now(instance.vnic.end) if _is_known(instance) else self

    def now(self, end: VnicEnd | None) -> Ways:
        """The instance is where `end` leads."""
        coming = None if end is not None and _same(self.coming, end) else self.coming
        left = tuple(each for each in self.left if not _same(each, end))
        if self.here is not None and not _same(self.here, end):
            left = (*left, self.here)
        return Ways(end, coming, left)

    def about_to(self, end: VnicEnd) -> Ways:
        """The instance is about to be where `end` leads; where it was to be before, it won't."""
        given_up = self.coming
        if given_up is None or _same(given_up, end) or _same(given_up, self.here):
            return replace(self, coming=end)
        return replace(self, coming=end, left=(*self.left, given_up))

    def without(
        self, in_use: Collection[str], *, for_good: bool
    ) -> tuple[tuple[VnicEnd, ...], Ways]:
        """Those that aren't needed any more, and what is left.

        Args:
            in_use: addresses that streams lead to.
            for_good: the instance isn't this front-end's any more.
        """
        if for_good:
            ends = (self.here, self.coming, *self.left)
            return tuple(each for each in ends if each is not None), Ways()
        over = tuple(each for each in self.left if each.peer not in in_use)
        return over, replace(self, left=tuple(each for each in self.left if each not in over))


def _same(end: VnicEnd | None, other: VnicEnd | None) -> bool:
    """Whether they are plans of one end."""
    return end is not None and other is not None and end.key == other.key


@dataclass(frozen=True, slots=True)
class Found:
    """An end that is here, as the agent says; `peer` is the back-end's address."""

    key: VnicKey
    generation: int
    peer: str


def stale(
    found: Collection[Found],
    instances: Iterable[Instance],
    pool: str,
    frontend: str,
    in_use: Collection[str] = (),
) -> tuple[Found, ...]:
    """Of the front-end's ends those that none of its instances needs any more.

    Args:
        found: as they were before the pool was asked for `instances`; a later plan of the same
            end has a higher generation, and isn't hurt.
        instances: all of the tenant's.
        frontend: by its name.
        in_use: addresses that connections lead to: calls may be finished there after a move.
    """
    own = {
        each.id: each
        for each in instances
        if each.frontend == frontend and each.state in _LEADS_SOMEWHERE
    }
    return tuple(
        each
        for each in found
        if each.key.pool == pool and _is_stale(each, own.get(each.key.instance), in_use)
    )


def _is_stale(end: Found, instance: Instance | None, in_use: Collection[str]) -> bool:
    if instance is None:
        return True
    if not _is_known(instance):
        return False
    now = instance.vnic.end
    # One of a later plan leads to where it is about to move.
    older = now is None or end.generation < now.generation
    return end.key.host != instance.host and older and end.peer not in in_use


def _is_known(instance: Instance) -> bool:
    """Whether it is said where the instance is, which it isn't while it is granted again."""
    vnic = instance.vnic
    return vnic.end is not None or bool(instance.host and not vnic.is_kernels)
