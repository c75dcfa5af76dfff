"""The profiles that the pool keeps, of all models. (Brain)"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from eais_pool.policy.choosing import Runner
from eais_pool.policy.curves import Curve
from eais_pool.policy.profiles import POINTS_MOST, Profile, ProfileKey

MOST: Final = 1024
"""Profiles; those that were measured longest ago are forgotten."""


class ProfileBook:
    """Profiles by key, the one that was measured last at the end."""

    def __init__(self, profiles: Iterable[Profile] = ()) -> None:
        self._profiles: dict[ProfileKey, Profile] = {}
        for profile in profiles:
            self.add(profile)

    def __eq__(self, other: object) -> bool:
        """Whether both have the same profiles, and would forget them in the same order."""
        return isinstance(other, ProfileBook) and self.profiles == other.profiles

    __hash__ = None  # type: ignore[assignment]

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """All of them; a book made of these is as this one."""
        return tuple(self._profiles.values())

    def copy(self) -> ProfileBook:
        """One of its own; profiles are shared, since they never change."""
        made = ProfileBook()
        made._profiles = dict(self._profiles)
        return made

    def add(self, profile: Profile) -> None:
        """Keep it, with what was known before of sizes that it says less of."""
        before = self._profiles.pop(profile.key, None)
        self._profiles[profile.key] = joined(before, profile) if before else profile
        while len(self._profiles) > MOST:
            del self._profiles[next(iter(self._profiles))]

    def of(self, digest: str) -> list[Profile]:
        """Those of one model."""
        return [each for each in self._profiles.values() if each.key.digest == digest]

    def curves(self, digest: str) -> dict[Runner, Curve]:
        """What is known of one model, by runner."""
        by_runner: dict[Runner, list[Profile]] = {}
        for each in self.of(digest):
            by_runner.setdefault(Runner.of(each), []).append(each)
        return {runner: Curve(profiles) for runner, profiles in by_runner.items()}


def joined(before: Profile, after: Profile) -> Profile:
    """Both in one: of each size the point of more samples, of as many the later.

    Failures are the later one's and those of before that it doesn't disprove.
    """
    points = {point.batch: point for point in before.points}
    for point in after.points:
        if point.batch not in points or point.samples >= points[point.batch].samples:
            points[point.batch] = point
    runs = max((point.batch for point in after.points), default=0)
    failed = {each.batch: each for each in before.failed if each.batch > runs}
    failed |= {each.batch: each for each in after.failed}
    return replace(
        after,
        points=tuple(points[batch] for batch in sorted(points)[:POINTS_MOST]),
        failed=tuple(failed[batch] for batch in sorted(failed)[:POINTS_MOST]),
    )
