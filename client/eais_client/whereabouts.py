"""Where an attached instance is: asked of its listener and of the manager, told by the Watch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import inf

from eais.deadline import Deadline
from eais.errors import EaisError, Unavailable
from eais.instance import InstanceState
from eais_client.background import Tools
from eais_client.brain import call_events as events
from eais_client.brain.call_errors import device_lost
from eais_client.brain.choose import lost, stranded
from eais_client.brain.ways import Ways
from eais_client.instances import Address, Instance
from eais_client.opening import Model, Opened, Patience, listener_of, open_session
from eais_client.vnic_end import VnicEnd
from eais_client.wire import Wire


class Whereabouts:
    """What is known of one instance; safe from any thread, and most of it blocks.

    Args:
        unavailable_timeout_s: how long an opening goes on while nobody can be reached.
        want: says to the pool that a call finds no worker.
        tell: what the calls' brain is told of it.
    """

    def __init__(
        self,
        instance: Instance,
        frontend: str,
        wire: Wire,
        tools: Tools,
        unavailable_timeout_s: float,
        want: Callable[[str], None],
        tell: Callable[[events.Event], None],
    ) -> None:
        self._instance = instance
        self._frontend = frontend
        self._wire = wire
        self._tools = tools
        self._timeout_s = unavailable_timeout_s
        self._want = want
        self._tell = tell
        self._lock = threading.Lock()
        self._ways = Ways(instance.vnic.end)

    @property
    def instance(self) -> Instance:
        """The newest that is known."""
        with self._lock:
            return self._instance

    def learn(self, instance: Instance, *, found: bool) -> None:
        """Take what the pool says; `found`: it was asked, else the Watch told."""
        with self._lock:
            newest = instance.epoch >= self._instance.epoch
            if newest:
                self._instance = instance
                self._ways = self._ways.learned(instance)
        error = lost(instance, self._frontend) if newest else None
        if error is not None:
            self.leave(frozenset(), for_good=True)
            self._tell(events.Ended(error, found))
            return
        where = instance.epoch, instance.workers
        why = stranded(instance)
        if newest:
            self._tell(events.Endpoints(*where, stranded=why))
        if found:
            self._tell(events.Endpoints(*where, found=True, stranded=why))

    def find(self) -> None:
        """Ask the listener where the workers are, then the manager."""
        instance, timeout_s = self.instance, self._tools.control_timeout_s
        self._want(instance.id)
        try:
            self._wire.reach(instance.vnic, again=True)
            workers = self._wire.locate(
                listener_of(instance), instance.id, instance.epoch, timeout_s
            )
        except EaisError:
            self._find_by_manager()
        else:
            why = stranded(self.instance)
            self._tell(events.Endpoints(instance.epoch, workers, found=True, stranded=why))

    def reopen(self, session: str, model: Model) -> None:
        """Open a session again, where the instance is now."""
        try:
            opened = self.open(model, self._soon())
        except EaisError as error:
            self._tell(events.SessionLost(session, error))
        else:
            self._tell(events.SessionOpened(session, opened.epoch, opened.not_on))

    def reach(self) -> None:
        """Have the way to where the instance is now; raises as `Wire.reach`."""
        self._wire.reach(self.instance.vnic)

    def leave(self, in_use: Collection[str], *, for_good: bool = False) -> None:
        """Take the ways away that lead to no address `in_use`, and to where it isn't any more.

        `for_good`: the one to where it is, too.
        """
        with self._lock:
            over, self._ways = self._ways.without(in_use, for_good=for_good)
        for end in over:
            # Without a thread for it, it stays until `eais` is used here next.
            with suppress(RuntimeError):
                self._tools.spawn("eais-leave", partial(self._wire.leave, end))

    def bring(
        self, epoch: int, listener: Address, end: VnicEnd | None, models: list[Model]
    ) -> None:
        """Open what is held at a listener to which the instance is about to move."""
        now = self.instance
        vnic = now.vnic
        if end is not None:
            vnic = replace(vnic, address=end.peer, end=end)
            with self._lock:
                self._ways = self._ways.about_to(end)
        there = replace(now, epoch=epoch, listener=listener, vnic=vnic)
        for model in models:
            patience = self._patience(self._soon())
            with suppress(EaisError):  # opened again when the instance has moved, it says why
                open_session(self._wire, model, lambda _fresh: there, patience)

    def open(self, model: Model, deadline: Deadline, patience_s: float = inf) -> Opened:
        """Open a session; raises as `open_session`, soon if `patience_s` says.

        Where there is no device for the instance any more, for whatever is worth waiting for:
        DEVICE_LOST.
        """
        try:
            patience = self._patience(deadline, patience_s)
            return open_session(self._wire, model, self._newest, patience)
        except Unavailable:
            if why := stranded(self.instance):
                raise device_lost(self._instance.id, why) from None
            raise

    def _soon(self) -> Deadline:
        return Deadline.after(self._timeout_s, self._tools.clock())

    def _patience(self, deadline: Deadline, patience_s: float = inf) -> Patience:
        tools = self._tools
        patience_s = min(patience_s, self._timeout_s)
        return Patience(deadline, patience_s, tools.clock, tools.sleep, tools.rng)

    def _newest(self, fresh: bool) -> Instance:
        """The instance, asked of the pool if `fresh`; raises if it serves nothing now."""
        if fresh:
            try:
                self.learn(self._describe(), found=False)
            except EaisError as error:
                if not error.retryable:
                    raise
        instance = self.instance
        ended = lost(instance, self._frontend)
        if ended is not None:
            raise ended
        if instance.listener is None:
            self._want(instance.id)  # it is scaled to zero until it is called
        return instance

    def _find_by_manager(self) -> None:
        try:
            instance = self._describe()
        except EaisError as error:
            self._tell(events.FindFailed(error))
        else:
            self.learn(instance, found=True)

    def _describe(self) -> Instance:
        instance = self.instance
        try:
            return self._wire.describe(instance.id, self._tools.control_timeout_s)
        except EaisError as error:
            if error.reason != "NOT_FOUND":
                raise
            return replace(instance, state=InstanceState.DELETED, frontend="")
