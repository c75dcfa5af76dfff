"""Sessions for asyncio: `await session.run(...)`, on the same connections as all others.

A call takes no thread: the loop that awaits it sends and reads. What blocks otherwise, the
opening of a session and a model that runs in this process, is done on threads.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Generator, Mapping, Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from eais.errors import EaisError, UsageError
from eais_client.session import InferenceSession as BlockingSession

if TYPE_CHECKING:
    from eais_client.account import CallAccount
    from eais_client.frontend import FrontEnd
    from eais_client.session import Work
    from eais_client.session_options import SessionOptions
    from eais_client.session_stats import SessionStats
    from eais_client.signature import ModelMetadata, NodeArg


class InferenceSession:
    """`eais.InferenceSession` for asyncio: its arguments, answers and errors.

    It is opened by `async with`, by `await`ing it, or by its first `run`, on a thread, so that
    the loop goes on meanwhile. Its tasks may be of several loops.

        async with eais.aio.InferenceSession("m.onnx") as session:
            (y,) = await session.run(None, {"x": x})
    """

    def __init__(
        self,
        path_or_bytes: str | bytes | os.PathLike[str],
        sess_options: object = None,
        providers: Sequence[str | tuple[str, dict[Any, Any]]] | None = None,
        provider_options: Sequence[dict[Any, Any]] | Mapping[str, Any] | None = None,
        *,
        batching: str | None = None,
        fallback: str | None = None,
        transport: str | None = None,
        frontend: FrontEnd | None = None,
        **_ignored: object,
    ) -> None:
        self._make = partial(
            BlockingSession,
            path_or_bytes,
            sess_options,
            providers,
            provider_options,
            batching=batching,
            fallback=fallback,
            transport=transport,
            frontend=frontend,
        )
        self._lock = threading.Lock()
        self._opening: Future[BlockingSession] | None = None
        self._session: BlockingSession | None = None
        self._work: Work | None = None
        self._closed = False

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: object = None,
    ) -> Coroutine[Any, Any, list[Any]]:
        """Run the model; arguments, answers and errors are those of `eais.InferenceSession.run`.

        The inputs must stay as they are until it ends. A task that is cancelled meanwhile leaves
        its call, and the worker is told; `eais.deadline` and `RunOptions.terminate` end it too.
        """
        work = self._work
        if work is not None:
            return work.run_awaited(output_names, input_feed, run_options)
        return self._open_and_run(output_names, input_feed, run_options)

    async def open(self) -> None:
        """Open the session, unless it is; raises what `eais.InferenceSession` raises.

        If that fails it may be tried again. A task that is cancelled meanwhile leaves it going on.
        """
        with self._lock:
            if self._closed:
                raise _closed()
            if self._session is not None:
                return
            if self._opening is None or _failed(self._opening):
                self._opening = _begun(self._make)
            opening = self._opening
        session = await asyncio.wrap_future(opening)
        with self._lock:
            if self._closed:  # meanwhile: it is closed when all is done that waited for it
                raise _closed()
            self._session, self._work = session, session.work

    async def close(self) -> None:
        """End the session; later calls fail with SESSION_CLOSED. May be called again."""
        with self._lock:
            self._closed = True
            opening = self._opening
        if opening is not None:
            opening.add_done_callback(_close_opened)

    def get_inputs(self) -> list[NodeArg]:
        """The model's inputs; this and all that follow need a session that is open."""
        return self._opened().get_inputs()

    def get_outputs(self) -> list[NodeArg]:
        """The model's outputs."""
        return self._opened().get_outputs()

    def get_overridable_initializers(self) -> list[NodeArg]:
        """The initializers that a feed may override."""
        return self._opened().get_overridable_initializers()

    def get_modelmeta(self) -> ModelMetadata:
        """What the model's maker wrote into it."""
        return self._opened().get_modelmeta()

    def get_providers(self) -> list[str]:
        """The execution providers in use."""
        return self._opened().get_providers()

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """Options of each provider in use: none are set by callers."""
        return self._opened().get_provider_options()

    def get_session_options(self) -> SessionOptions:
        """The options that the session was made with."""
        return self._opened().get_session_options()

    @property
    def fallback_active(self) -> bool:
        """Whether calls are answered in this process now, since the pool can't be reached."""
        return self._opened().fallback_active

    @property
    def last_call(self) -> CallAccount | None:
        """What the call cost that this task ended last; None if it ended none yet."""
        return self._opened().last_call

    def stats(self) -> SessionStats:
        """How many calls the pool answered, at what cost, and how many this process did."""
        return self._opened().stats()

    async def __aenter__(self) -> InferenceSession:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __await__(self) -> Generator[Any, Any, InferenceSession]:
        return self.__aenter__().__await__()

    def __repr__(self) -> str:
        what = repr(self._work) if self._work is not None else "not open"
        return f"<eais.aio.InferenceSession {what}>"

    async def _open_and_run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], run_options: object
    ) -> list[Any]:
        await self.open()
        return await self._opened().work.run_awaited(output_names, input_feed, run_options)

    def _opened(self) -> BlockingSession:
        if self._session is None:
            hint = "`await` it, or use `async with`"
            raise UsageError("ARGUMENT", "the session is not open", hint=hint)
        return self._session


def _begun(make: partial[BlockingSession]) -> Future[BlockingSession]:
    """Make a session on a thread, in the caller's context: its deadline, its `on_upload`."""
    from eais_client.background import no_thread, spawn_thread

    made: Future[BlockingSession] = Future()
    made.set_running_or_notify_cancel()  # who awaits it can't cancel it for others
    try:
        spawn_thread("eais-open", partial(_fill, made, copy_context(), make))
    except RuntimeError:
        raise no_thread() from None
    return made


def _fill(made: Future[BlockingSession], context: Context, make: partial[BlockingSession]) -> None:
    try:
        made.set_result(context.run(make))
    except BaseException as error:  # noqa: BLE001 - it is raised where the session is awaited
        made.set_exception(error)


def _closed() -> EaisError:
    from eais_client.brain.call_errors import closed

    return closed("")


def _failed(opening: Future[BlockingSession]) -> bool:
    return opening.done() and opening.exception() is not None


def _close_opened(opening: Future[BlockingSession]) -> None:
    if opening.exception() is None:
        opening.result().close()
