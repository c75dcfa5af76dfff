"""A session that runs in this process while the pool can't be reached, where that is asked for.

Inference is pure, so a call that found nobody is answered here, once, from the caller's own
inputs. Each change of place is said in the log; `eais_client.brain.falling_back` decides it.
"""

from __future__ import annotations

import logging
import threading
import weakref
from asyncio import get_running_loop
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import Any, Final

from eais.deadline import Deadline, current
from eais.errors import EaisError
from eais_client.account import CallAccount
from eais_client.asked import Asked, Callback
from eais_client.background import Alarm, failed_here, no_thread
from eais_client.brain import falling_back
from eais_client.brain.call_errors import closed
from eais_client.brain.falling_back import Hysteresis, Standing
from eais_client.feeds import check_names
from eais_client.local_model import LocalModel
from eais_client.remote_session import RemoteSession, call_back
from eais_client.session_stats import SessionStats, Tally
from eais_client.signature import Signature

log = logging.getLogger(__name__)

MARK: Final = "EaisLocalFallback"
"""Last of the providers while calls are answered in this process."""


def opened_session(asked: Asked) -> RemoteSession | FallbackSession:
    """The session that is asked for, open."""
    if not asked.fallback:
        return RemoteSession(asked)
    from eais_client.run.real import real_onnxruntime, real_place

    return FallbackSession(asked, LocalModel(asked, real_onnxruntime, real_place))


class FallbackSession:
    """A `RemoteSession` while the pool can be reached, `local` while it can't.

    Arguments, results and errors are those of `InferenceSession`.
    """

    def __init__(
        self, asked: Asked, local: LocalModel, hysteresis: Hysteresis | None = None
    ) -> None:
        self._asked = asked
        self._local = local
        self._tally = Tally()
        self._lock = threading.Lock()
        self._standing = Standing(hysteresis or Hysteresis())
        self._remote: RemoteSession | None = None
        self._closed = False
        self._refusal = ""
        self._alarm = _Alarm(asked.frontend.tools.alarm, weakref.WeakMethod(self._probe))
        weakref.finalize(self, self._alarm.close).atexit = False
        self._signature = self._opened()

    @property
    def signature(self) -> Signature:
        """What the model says of itself, and where it runs."""
        if not self.fallback_active:
            return self._signature
        return replace(self._signature, providers=(*self._local.providers(), MARK))

    @property
    def fallback_active(self) -> bool:
        """Whether calls are answered here."""
        with self._lock:
            return self._standing.local

    @property
    def stats(self) -> SessionStats:
        """What was answered so far, and where."""
        with self._lock:
            falls, returns = self._standing.falls, self._standing.returns
            remote = None if self._standing.local else self._remote
        transport = remote.stats.transport if remote is not None else ""
        return replace(self._tally.stats(falls, returns), transport=transport)

    def last_call(self) -> CallAccount | None:
        """See `InferenceSession.last_call`."""
        return self._tally.last_call()

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: object = None,
    ) -> list[Any]:
        """See `InferenceSession.run`."""
        here = partial(self._run_here, output_names, input_feed, run_options, self._deadline())
        remote = self._way()
        if remote is None:
            return here()
        try:
            return remote.run(output_names, input_feed, run_options)
        except EaisError as error:
            return self._rescued(remote, here, error)

    async def run_awaited(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: object = None,
    ) -> list[Any]:
        """See `eais_client.aio.InferenceSession.run`; what runs here does so on a thread.

        Of a task that is cancelled it runs to its end, unseen.
        """
        here = partial(self._run_here, output_names, input_feed, run_options, self._deadline())
        remote = self._way()
        if remote is None:
            return await self._on_a_thread(here)
        try:
            return await remote.run_awaited(output_names, input_feed, run_options)
        except EaisError as error:
            self._fall(remote, error)
        return await self._on_a_thread(here)

    async def _on_a_thread(self, here: Callable[[], list[Any]]) -> list[Any]:
        context = copy_context()
        try:
            begun = get_running_loop().run_in_executor(None, context.run, here)
        except RuntimeError:
            raise no_thread() from None
        answer = await begun
        self._tally.remember_from(context)
        return answer

    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        callback: Callback,
        user_data: Any,
        run_options: object = None,
    ) -> None:
        """See `InferenceSession.run_async`."""
        here = partial(self._run_here, output_names, input_feed, run_options, self._deadline())
        remote = self._way()
        if remote is None:
            check_names(self._signature.inputs, list(input_feed.keys()))
            self._begin_here(here, callback, user_data)
            return
        rescue = partial(self._rescued, remote, here)
        remote.run_async(output_names, input_feed, callback, user_data, run_options, rescue)

    def close(self) -> None:
        """See `InferenceSession.close`."""
        with self._lock:
            self._closed = True
            remote, self._remote = self._remote, None
        self._alarm.close()
        self._local.free()
        if remote is not None:
            remote.close()

    def __repr__(self) -> str:
        place = "here" if self.fallback_active else "at the pool"
        return f"<fallback session {place}: {self._remote!r}>"

    def _opened(self) -> Signature:
        """Open it at the pool, or here if that can't be reached."""
        try:
            self._remote = self._reach(self._opening_s())
        except EaisError as error:
            if not self._is_away(error):
                raise
            signature = self._local.signature()
            self._fell(None, error)
            return signature
        return self._remote.signature

    def _reach(self, opening_s: float) -> RemoteSession:
        patience_s = self._asked.frontend.config.fallback_after_s
        return RemoteSession(self._asked, opening_s, patience_s, self._tally)

    def _opening_s(self) -> float:
        # The other half of what is left is for loading it here.
        left_s = current().left_s(self._asked.frontend.clock())
        return min(self._asked.frontend.config.fallback_after_s, left_s / 2)

    def _deadline(self) -> Deadline:
        return self._asked.call_deadline()

    def _way(self) -> RemoteSession | None:
        """The session at the pool; None while calls are answered here."""
        self._asked.frontend.check_process()
        with self._lock:
            if self._closed:
                raise closed(self._asked.choice.instance)
            return None if self._standing.local else self._remote

    def _rescued(
        self, remote: RemoteSession, here: Callable[[], list[Any]], error: EaisError
    ) -> list[Any]:
        """The answer to a call for which `remote` gave `error`, if this process may give it."""
        self._fall(remote, error)
        return here()

    def _fall(self, remote: RemoteSession, error: EaisError) -> None:
        """Have the call be answered here; raises `error` if this process may not."""
        with self._lock:
            # It was replaced under the call, by one that the pool opened since.
            left = error.reason == "SESSION_CLOSED" and remote is not self._remote
        if not self._is_away(error) and not left:
            raise error
        if not left:
            with suppress(EaisError):  # without an alarm the next call asks the pool again
                self._fell(remote, error)

    def _is_away(self, error: EaisError) -> bool:
        return falling_back.is_away(error, self._asked.frontend.config.limits().max_attempts)

    def _run_here(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: object,
        deadline: Deadline,
    ) -> list[Any]:
        if self._closed:
            raise closed(self._asked.choice.instance)
        clock = self._asked.frontend.clock
        began = clock()
        try:
            answer = self._local.run(output_names, input_feed, run_options, deadline)
        finally:
            if not self.fallback_active:  # a call that found the pool away is late to say so
                self._local.free()
        self._tally.local(clock() - began)
        return answer

    def _begin_here(
        self, here: Callable[[], list[Any]], callback: Callback, user_data: Any
    ) -> None:
        frontend = self._asked.frontend
        leave = frontend.callback_room(self._deadline())

        def work() -> None:
            try:
                call_back(here, callback, user_data)
            finally:
                leave()

        try:
            frontend.tools.spawn("eais-local", work)
        except RuntimeError:
            leave()
            raise no_thread() from None

    # The change of place.

    def _fell(self, remote: RemoteSession | None, error: EaisError) -> None:
        """A call on `remote` found nobody; raises `no_thread` if nothing could look for it."""
        self._alarm.start()
        with self._lock:
            if self._closed or remote is not self._remote:
                return
            fell = falling_back.fell(self._standing, self._asked.frontend.clock())
            probe_at = self._standing.probe_at
        if fell:
            log.warning(
                "the pool can't be reached (%s): the model runs in this process until it can",
                error,
            )
            self._alarm.wake_at(probe_at)

    def _probe(self) -> None:
        """Try to open the session at the pool; calls go there again if it has been steady."""
        if self._closed:
            return
        tools = self._asked.frontend.tools
        try:
            found = self._reach(0.0)
        except Exception as error:  # noqa: BLE001 - nobody else would ever look again
            self._say_refusal(failed_here(error))
            with self._lock:
                falling_back.unanswered(self._standing, tools.clock(), tools.rng)
                probe_at = self._standing.probe_at
            self._alarm.wake_at(probe_at)
            return
        self._found(found, tools.clock())

    def _found(self, found: RemoteSession, now: float) -> None:
        with self._lock:
            since = self._standing.since
            back = not self._closed and falling_back.answered(self._standing, now)
            probe_at, unused = self._standing.probe_at, found
            if back:
                unused, self._remote = self._remote or found, found
        if unused is not found or not back:
            unused.close()
        if back:
            self._refusal = ""
            self._local.free()
            log.warning("the pool is back: calls go there again after %.0f s here", now - since)
        elif not self._closed:
            self._alarm.wake_at(probe_at)

    def _say_refusal(self, error: EaisError) -> None:
        """A pool that answers and refuses isn't back; its user hears why, once."""
        refusal = "" if self._is_away(error) else str(error)
        if refusal and refusal != self._refusal:
            log.warning("the pool answers, but the model still runs in this process: %s", error)
        self._refusal = refusal


class _Alarm:
    """An alarm that is made when it is first needed, and keeps no session alive."""

    def __init__(
        self,
        make: Callable[[Callable[[], None]], Alarm],
        ring: weakref.WeakMethod[Callable[[], None]],
    ) -> None:
        self._make = make
        self._ring_weak = ring
        self._lock = threading.Lock()
        self._alarm: Alarm | None = None
        self._closed = False

    def start(self) -> None:
        """See `Alarm`."""
        if (alarm := self._made()) is not None:
            alarm.start()

    def wake_at(self, at: float) -> None:
        """See `Alarm`."""
        if (alarm := self._made()) is not None:
            alarm.wake_at(at)

    def _made(self) -> Alarm | None:
        with self._lock:
            if self._alarm is None and not self._closed:
                self._alarm = self._make(self._ring)
            return None if self._closed else self._alarm

    def close(self) -> None:
        """See `Alarm`. Takes no lock: a finalizer calls it anywhere."""
        self._closed = True
        alarm = self._alarm
        if alarm is not None:
            alarm.close()

    def _ring(self) -> None:
        ring = self._ring_weak()
        if ring is not None:
            ring()
