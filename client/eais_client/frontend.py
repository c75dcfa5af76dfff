"""This process as one front-end: its wire, its Watch, and what it has attached.

One for each context in a process, shared by all sessions, made when it is first needed.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from eais.backoff import RETRY
from eais.deadline import Deadline
from eais.errors import EaisError
from eais.instance import InstanceState
from eais.jitter import JITTER
from eais_client.attachment import Attachment
from eais_client.background import (
    CALLBACKS_NAME,
    Callbacks,
    ThreadAlarm,
    Tools,
    no_thread,
    spawn_thread,
)
from eais_client.brain.call_errors import late
from eais_client.brain.choose import check_usable, choose, ending
from eais_client.brain.transport import Transport
from eais_client.config import ClientConfig
from eais_client.context import Context, ContextStore
from eais_client.dialer import check_process, forked
from eais_client.grpc_wire import GrpcWire
from eais_client.instances import Address, Instance
from eais_client.own_identity import frontend_identity
from eais_client.renewal import Keeper
from eais_client.vnic_end import VnicEnd
from eais_client.vnic_ends import VnicEnds
from eais_client.wire import Load, Timeout, Turnover, Watch, Wire

log = logging.getLogger(__name__)

T = TypeVar("T")

# A move, for which no call fails.
_HARMLESS = "DRAINING"

# How long a new session waits for a manager that is being restarted.
MANAGER_PATIENCE_S = 5.0


class FrontEnd:
    """Chooses instances and holds their attachments; safe from any thread.

    `keeper` keeps the identity fresh once something is attached; without one it is as it is.
    """

    def __init__(
        self, wire: Wire, config: ClientConfig, tools: Tools, keeper: Keeper | None = None
    ) -> None:
        self._wire = wire
        self._keeper = keeper
        self._lock = threading.Lock()
        self._known: dict[str, Instance] = {}
        self._attachments: dict[tuple[str, Transport], Attachment] = {}
        self._watch: Watch | None = None
        self._forks = _forks
        self.callbacks = Callbacks()
        self.clock = tools.clock
        self.tools = tools
        self.config = config

    def select(
        self, name: str, deadline: Deadline, patience_s: float = MANAGER_PATIENCE_S
    ) -> Instance:
        """The instance called `name`, or the only one attached here; usable now.

        `patience_s`: how long a manager that is away is asked again.

        Raises NOT_ATTACHED, INSTANCE_AMBIGUOUS, INSTANCE_STOPPED, INSTANCE_FAILED,
        NOT_FOUND, `IdentityError`, POOL_UNREACHABLE.
        """
        frontend = self._wire.frontend()
        # What the Watch told stands in for a manager that is away, if it helps.
        known = {i.id: i for i in list(self._known.values()) if ending(i, frontend) is None}
        if name:
            describe = partial(self._wire.describe, name)
            found = self._ask(deadline, patience_s, describe, known.get(name))
            return check_usable(found, frontend)
        listed = self._ask(deadline, patience_s, self._wire.list, tuple(known.values()) or None)
        return choose(listed, frontend)

    def attachment(self, instance: Instance, transport: Transport = Transport.AUTO) -> Attachment:
        """The attachment of `instance` by `transport`, made if this process has none yet."""
        frontend = self._wire.frontend()
        with self._lock:
            if self._watch is None:
                self._begin()
            found = self._attachments.get((instance.id, transport))
            over = [] if found else self._without_use()
            kept = found or self._attached(instance, frontend, transport)
        for each in over:
            each.close()
        if found is not None:
            found.on_instance(instance)
        return kept

    def _begin(self) -> None:
        """Start what runs beside the calls; what is left of it is tried again if that fails."""
        try:
            self.callbacks.start()
            if self._keeper is not None:
                self._keeper.start(self._renewed)
            self._watch = self._wire.watch(self)
        except RuntimeError:
            raise no_thread() from None

    def callback_room(self, deadline: Deadline) -> Callable[[], None]:
        """Wait for room for one more call with a callback; what gives it back when that has run.

        Raises DEADLINE_EXCEEDED.
        """
        leave = self.callbacks.reserve(deadline.left_or_none(self.clock()))
        if leave is None:
            raise late()
        return leave

    def check_process(self) -> None:
        """Raise `UsageError` FORKED in a child of the process that this belongs to."""
        if _forks != self._forks:
            raise forked()

    def close(self, *, exiting: bool = False) -> None:
        """End the Watch, all attachments and all channels.

        `exiting`: the interpreter ends. Only daemons wait for answers then, and end with it.
        """
        if _forks != self._forks:
            return  # they are the parent's
        with self._lock:
            watch, self._watch = self._watch, None
            attachments = list(self._attachments.values())
            self._attachments.clear()
        if self._keeper is not None:
            self._keeper.close()
        if watch is not None:
            watch.close()
        for attachment in attachments:
            attachment.close(exiting=exiting)
        self._wire.close()

    def instance(self, instance: Instance) -> None:
        """See `WatchEvents`."""
        with self._lock:
            self._known[instance.id] = instance
            if instance.state is InstanceState.DELETED:
                del self._known[instance.id]
            attachments = self._of(instance.id)
        for attachment in attachments:
            attachment.on_instance(instance)

    def reopen(self, instance: str, epoch: int, listener: Address, end: VnicEnd | None) -> None:
        """See `WatchEvents`."""
        with self._lock:
            attachments = self._of(instance)
        for attachment in attachments:
            attachment.bring(epoch, listener, end)

    def notice(self, instance: str, reason: str, message: str) -> None:
        """See `WatchEvents`."""
        level = logging.INFO if reason == _HARMLESS else logging.WARNING
        log.log(level, "%s: %s: %s", instance, reason, message)

    def loads(self) -> list[Load]:
        """See `WatchEvents`."""
        with self._lock:
            attachments = list(self._attachments.values())
        found: dict[str, Load] = {}
        for attachment in attachments:
            load = attachment.load()
            found[load.instance] = load.plus(found.get(load.instance))
        return list(found.values())

    def turnover(self) -> Turnover:
        """What happened so far to the connections of what is attached now."""
        with self._lock:
            found = [attachment.turnover for attachment in self._attachments.values()]
            watch = self._watch
        replaced = self._wire.replaced + (watch.replaced if watch is not None else 0)
        return Turnover(
            replaced + sum(each.replaced for each in found), sum(each.retries for each in found)
        )

    def _renewed(self) -> None:
        """The identity was renewed: whatever is open goes on with it."""
        with self._lock:
            watch, attachments = self._watch, list(self._attachments.values())
        if watch is not None:
            watch.renewed()
        for attachment in attachments:
            attachment.renewed()

    def _of(self, instance: str) -> list[Attachment]:
        """Its attachments, one for each transport that is in use."""
        return [each for each in self._attachments.values() if each.instance == instance]

    def _attached(self, instance: Instance, frontend: str, transport: Transport) -> Attachment:
        limits = self.config.limits()
        made = Attachment(instance, frontend, self._wire, limits, self.tools, self._want, transport)
        self._attachments[(instance.id, transport)] = made
        return made

    def _without_use(self) -> list[Attachment]:
        """Attachments that are over, taken out."""
        over = {key: each for key, each in self._attachments.items() if each.over}
        for key in over:
            del self._attachments[key]
        return list(over.values())

    def _want(self, instance: str) -> None:
        watch = self._watch
        if watch is not None:
            watch.want(instance)

    def _ask(
        self,
        deadline: Deadline,
        patience_s: float,
        ask: Callable[[Timeout], T],
        known: T | None,
    ) -> T:
        """Ask the pool; while it is away use what is `known`, else wait for it a little."""
        clock, failures = self.tools.clock, 0
        until = deadline.earlier(Deadline(clock() + patience_s))
        while True:
            deadline.check(clock())
            left_s = min(deadline.left_s(clock()), self.config.control_timeout_s)
            try:
                return ask(left_s)
            except EaisError as error:
                if error.reason != "POOL_UNREACHABLE":
                    raise
                if known is not None:
                    return known
                failures += 1
                wait_s = RETRY.delay_s(failures, self.tools.rng)
                if until.passed(clock() + wait_s):
                    deadline.check(clock())
                    error.hint = error.hint or "`eais pool status` says whether it runs"
                    raise
            self.tools.sleep(wait_s)


_EXIT_WAIT_S = 0.5
# Ours, and those that gRPC starts for a call or a channel.
_ENDING = re.compile(r"eais-|\(_run\)|managed_target|consume_request_iterator|channel_spin")
_Key = tuple[str, Context]
# Forks between the first process and this one: counted, since each call asks whether one was.
_forks = 0
_lock = threading.Lock()
_frontends: dict[_Key, FrontEnd] = {}


def frontend_of(environ: Mapping[str, str]) -> FrontEnd:
    """This process's front-end for the context in force; made when first asked for.

    Raises `UsageError` NOT_ATTACHED if no pool is known, `ConfigError`, FORKED.
    """
    check_process()
    store = ContextStore.of_environ(environ)
    context = store.current(environ)
    key = (str(store.directory), context)
    with _lock:
        if key not in _frontends:
            config = ClientConfig.of_environ(environ, store.file)
            own, tools = frontend_identity(store, context), real_tools(config)
            wire = GrpcWire(own.dialer, context, VnicEnds.of_config(config))
            keeper = Keeper(own.renewal(wire.renew), tools.alarm, tools.clock)
            _frontends[key] = FrontEnd(wire, config, tools, keeper)
        return _frontends[key]


def real_tools(config: ClientConfig) -> Tools:
    """Threads, the monotonic clock and real randomness."""
    tools = Tools(
        spawn=spawn_thread,
        alarm=lambda ring: ThreadAlarm(tools.clock, ring),
        rng=JITTER,
        control_timeout_s=config.control_timeout_s,
    )
    return tools


def close_all(*, exiting: bool = False) -> None:
    """End every front-end of this process; sessions made later begin anew."""
    with _lock:
        frontends = list(_frontends.values())
        _frontends.clear()
    for frontend in frontends:
        frontend.close(exiting=exiting)


def _at_exit() -> None:
    """End all front-ends, then wait a moment for the threads that end by that.

    A daemon thread that the interpreter ends while it takes a lock keeps that lock, and
    gRPC's calls take theirs when they're deleted: the program would then never end.
    """
    close_all(exiting=True)
    until = time.monotonic() + _EXIT_WAIT_S
    for thread in threading.enumerate():
        if thread.daemon and thread.name != CALLBACKS_NAME and _ENDING.search(thread.name):
            thread.join(max(0.0, until - time.monotonic()))


def _after_fork() -> None:
    # Another thread may have held the lock when this process was forked.
    global _lock, _forks
    _lock = threading.Lock()
    _forks += 1
    _frontends.clear()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
