"""Does what the brain says, in its order: what is held is on disk before the kernel is changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from eais.errors import EaisError
from eais.failpoints import Reach, nowhere
from eais.net.plan import NetPlan, VnicKey
from eais.net.traffic import NO_TRAFFIC, Traffic
from eais_server.net.books import Books
from eais_server.net.brain import events
from eais_server.net.brain.actions import Action, Drop, Guard, Make, Take, Write, after
from eais_server.net.brain.events import Rules
from eais_server.net.brain.records import Asker, Held, Look
from eais_server.net.surroundings import Interfaces, Wall

log = logging.getLogger(__name__)

STEPS: Final = ("write", "drop", "guard", "make", "take")


def points(step: str) -> tuple[str, str]:
    """The points of a step, in the order in which they are reached."""
    return f"{step}.before", f"{step}.after"


class Keeper:
    """The vNIC ends of one agent. Not for two threads at once.

    Methods raise what `brain.events` says, NETDEV and NET_DRIVER of the kernel's, and STATE_DIR
    of the disk's; then what was done so far is held, and to ask again goes on from there.

    Args:
        users: uids that may ask for vNICs, beside the superuser.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        books: Books,
        interfaces: Interfaces,
        wall: Wall,
        users: frozenset[int],
        clock: Callable[[], float],
        *,
        reach: Reach = nowhere,
    ) -> None:
        self._books = books
        self._interfaces = interfaces
        self._wall = wall
        self._rules = Rules(users, interfaces.name)
        self._clock = clock
        self._reach = reach
        self.state = books.read()

    def start(self) -> None:
        """Have what should be there, and nothing else. What fails is logged, and left for later.

        Raises:
            ConfigError: NETDEV, interfaces can't be listed or nothing can be guarded.
        """
        self._count(tuple(self.state.held.values()))
        actions = events.on_start(self._rules, self.state, self._interfaces.found(), self._now())
        first, *rest = actions
        self._do(first)
        for error in self._do_all(rest):
            log.error("left for later: %s", error)

    def create(self, asker: Asker, plan: NetPlan) -> Held:
        """Carry out a plan that was checked; the end."""
        self._count(events.replaced_by(self.state, asker, plan))
        before = self.state
        actions = events.on_create(self._rules, before, asker, plan, self._now())
        try:
            self._must(actions)
        except EaisError:
            undone = events.on_failed(before, self.state, plan.key, self._now())
            for error in self._do_all(undone):
                log.error("%s is left for later: %s", plan.key.instance, error)
            raise
        return self.state.held[plan.key]

    def connect(self, asker: Asker, key: VnicKey, ports: Sequence[int]) -> None:
        """Let the front-end reach these TCP ports."""
        self._must(events.on_connect(self.state, asker, key, ports))

    def limit(self, asker: Asker, key: VnicKey, bytes_per_s: int) -> None:
        """Cap an end, each way; 0: no cap."""
        self._must(events.on_limit(self.state, asker, key, bytes_per_s))

    def destroy(self, asker: Asker, key: VnicKey, generation: int = 0) -> None:
        """Take an end away; with a `generation` only of that plan or an earlier one, for good."""
        self._must(events.on_destroy(self.state, asker, key, generation, self._now()))

    def counters(self, asker: Asker, asked: VnicKey) -> Mapping[VnicKey, Traffic]:
        """What has passed an end since it was made; without an instance, all that fit."""
        ends = events.ends_asked(self.state, asker, asked)
        dropped = self._wall.dropped(ends)
        carried = self.carried(ends, self.looks(ends)).items()
        return {key: each + dropped.get(key, NO_TRAFFIC) for key, each in carried}

    def looks(self, ends: Collection[Held]) -> Mapping[VnicKey, Look]:
        """The interfaces of these ends, of those that are there."""
        staying = [held for held in ends if not held.leaving]
        return self._interfaces.looks(staying) if staying else {}

    @staticmethod
    def carried(ends: Collection[Held], looks: Mapping[VnicKey, Look]) -> dict[VnicKey, Traffic]:
        """What has passed these ends, but for what was dropped."""
        return {
            held.key: events.passed(held, look.counted if (look := looks.get(held.key)) else None)
            for held in ends
        }

    def mend(self) -> None:
        """Guard again what somebody has laid bare. Errors are logged."""
        try:
            if guarded := self.state.guarded:
                self._wall.mend(guarded)
        except EaisError as error:
            log.error("vNICs aren't guarded: %s", error)

    def note(self) -> None:
        """Write down what has passed, forget what has ended, and take away what couldn't be then.

        Errors are logged.
        """
        self._count(tuple(self.state.held.values()))
        for error in self._do_all(events.on_left(self.state, self._now())):
            log.error("left for later: %s", error)
        try:
            self._must(events.on_time(self.state, self._now()))
        except EaisError as error:
            log.error("what has ended isn't forgotten: %s", error)

    def hindrance(self, asker: Asker) -> str:
        """Why nothing is made for an asker, whatever the plan; "" if it is."""
        return events.hindrance(self._rules, asker)

    def seen_by(self, asker: Asker) -> list[Held]:
        """The ends that an asker may know of."""
        return events.seen_by(self.state, asker)

    def _count(self, ends: Sequence[Held]) -> None:
        """Write down what these ends' interfaces have counted. Errors are logged."""
        try:
            lives = {key: look.counted for key, look in self.looks(ends).items()}
            self._must(events.on_noted(self.state, lives))
        except EaisError as error:
            log.error("what has passed isn't written down: %s", error)

    def _must(self, actions: Sequence[Action]) -> None:
        for action in actions:
            self._do(action)

    def _do_all(self, actions: Sequence[Action]) -> list[EaisError]:
        """Each, whatever becomes of the others; what went wrong.

        But an interface that couldn't be taken away keeps its record and its rules, and none is
        made that couldn't be guarded.
        """
        errors: list[EaisError] = []
        stuck: set[VnicKey] = set()
        guarded = True
        for action in actions:
            if _key_written(action) in stuck or (isinstance(action, Make) and not guarded):
                continue
            try:
                self._do(action)
                guarded = guarded or isinstance(action, Guard)
            except EaisError as error:
                errors.append(error)
                stuck |= self._keys_of(action)
                guarded = guarded and not isinstance(action, Guard)
        return errors

    def _keys_of(self, action: Action) -> set[VnicKey]:
        if isinstance(action, Take):
            return {h.key for h in self.state.held.values() if h.place == action.place}
        key = _key_written(action)
        return {key} if key is not None else set()

    def _do(self, action: Action) -> None:
        before, done = points(type(action).__name__.lower())
        self._reach(before)
        self._carry_out(action)
        self.state = after(self.state, action)
        self._reach(done)

    def _carry_out(self, action: Action) -> None:
        if isinstance(action, Write):
            self._books.write(action.record)
        elif isinstance(action, Drop):
            self._books.drop(action.key)
        elif isinstance(action, Make):
            self._interfaces.make(self.state.held[action.key])
        elif isinstance(action, Take):
            self._interfaces.take(action.place)
        else:
            self._wall.guard(self.state.guarded)

    def _now(self) -> int:
        return int(self._clock())


def _key_written(action: Action) -> VnicKey | None:
    if isinstance(action, Make):
        return action.key
    if isinstance(action, Write):
        return action.record.key
    return None
