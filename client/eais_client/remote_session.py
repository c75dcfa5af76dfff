"""A session on an attached instance: inputs become calls, answers become arrays."""

from __future__ import annotations

import re
import weakref
from asyncio import get_running_loop
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any

from eais.channel import MAX_MESSAGE_BYTES
from eais.deadline import NEVER, Deadline, current
from eais.errors import EaisError, InputRejected, UsageError, make_error
from eais.rpc.v1 import listener_pb2
from eais.telemetry.trace import CallSpan, is_traced
from eais.transport.writing import RunBody, RunWriter
from eais.value import Deferred, Value
from eais_client.account import CallAccount, measured
from eais_client.asked import Asked, Callback
from eais_client.brain.call_errors import closed, late
from eais_client.brain.choose import Choice
from eais_client.brain.transport import TRANSPORT_KEY
from eais_client.feeds import check_names, check_outputs, converted, required_names
from eais_client.frontend import MANAGER_PATIENCE_S, FrontEnd
from eais_client.loop_call import LoopCall
from eais_client.model_source import ModelSource
from eais_client.opening import Model
from eais_client.ort_errors import builtin_error, ort_error, worded
from eais_client.pending import CallbackCall, PendingCall
from eais_client.session_options import (
    RunOptions,
    SessionOptions,
    run_options_of,
)
from eais_client.session_stats import SessionStats, Tally
from eais_client.tracing import begin_span, end_span

# What a Run may be besides its deferred tensors: strings can't be sent in pieces.
_MAX_RUN_BYTES = MAX_MESSAGE_BYTES - (1 << 20) - (1 << 16)
_PREFIX = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_NO_ENTRIES: Mapping[str, str] = {}
_TERMINATED = "Exiting due to terminate flag being set to true."

#: Gives a call's outputs, or raises.
Results = Callable[[], list[Value]]
#: Answers a call in another way, or raises what it is given.
Rescue = Callable[[EaisError], list[Value]]


class RemoteSession:
    """What an `InferenceSession` is made of: it loads on first use what a session needs.

    Arguments, results and errors are those of `InferenceSession`. `opening_s` and
    `patience_s`: how long the opening, and a call, wait while nobody can be reached, if that is
    less than the front-end's own.
    """

    fallback_active = False

    def __init__(
        self,
        asked: Asked,
        opening_s: float = inf,
        patience_s: float = inf,
        tally: Tally | None = None,
    ) -> None:
        self._asked = asked
        self._patience_s = patience_s
        self._tally = tally or Tally()
        self._closed = False
        frontend = self._frontend = asked.frontend
        deadline = current()
        instance = frontend.select(
            asked.choice.instance, deadline, min(opening_s, MANAGER_PATIENCE_S)
        )
        self._attachment = frontend.attachment(instance, asked.transport)
        model = Model(asked.source, _spec(asked.source, asked.options, asked.choice))
        opened = self._attachment.open(model, deadline, opening_s)
        self._id = opened.id
        self.signature = signature = opened.signature
        self._clock = frontend.clock
        self._writer = RunWriter(instance.id, opened.id)
        self._required = required_names(signature.inputs)
        declared = (*signature.inputs, *signature.overridable_initializers)
        self._declared = {arg.name: arg for arg in declared}
        self._digest = asked.source.files[0].sha256.hex()
        self._end = weakref.finalize(self, _drop, frontend, self._attachment, opened.id)
        self._end.atexit = False

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: object = None,
    ) -> list[Value]:
        """See `InferenceSession.run`."""
        began = self._clock()
        body, options = self._encode(output_names, input_feed, run_options)
        deadline = self._asked.call_deadline()
        patience_s = inf if self._patience_s == inf else self._patience(deadline)
        pending = PendingCall(body, deadline, patience_s)
        if is_traced():
            pending.span = self._begin_span()
        encoded = self._clock()
        try:
            number = self._attachment.submit(self._id, pending)
            if options is None:
                self._wait(number, pending)
            else:
                with options.ending(partial(self._terminate, number)):
                    self._wait(number, pending)
        finally:
            if pending.span is not None:
                end_span(pending.span, pending)
        return self._answer(pending, began, encoded)

    async def run_awaited(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: object = None,
    ) -> list[Value]:
        """See `eais_client.aio.InferenceSession.run`."""
        began = self._clock()
        body, options = self._encode(output_names, input_feed, run_options)
        deadline = self._asked.call_deadline()
        pending = LoopCall(body, deadline, get_running_loop(), self._patience(deadline))
        if is_traced():
            pending.span = self._begin_span()
        encoded = self._clock()
        try:
            number = self._attachment.submit(self._id, pending)
            try:
                if options is None:
                    await pending.future
                else:
                    with options.ending(partial(self._terminate, number)):
                        await pending.future
            except BaseException as error:
                self._attachment.interrupted(number, error)
                raise
        finally:
            if pending.span is not None:
                end_span(pending.span, pending)
        return self._answer(pending, began, encoded)

    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        callback: Callback,
        user_data: Any,
        run_options: object = None,
        rescue: Rescue | None = None,
    ) -> None:
        """See `InferenceSession.run_async`; `rescue` may answer a call that failed."""
        began = self._clock()
        body, _options = self._encode(output_names, input_feed, run_options)
        encoded = self._clock()
        deadline = self._asked.call_deadline()
        leave = self._frontend.callback_room(deadline)

        def answer(pending: PendingCall) -> list[Value]:
            try:
                return self._answer(pending, began, encoded)
            except EaisError as error:
                if rescue is None:
                    raise
                return rescue(error)

        def ended(pending: PendingCall) -> None:
            try:
                call_back(partial(answer, pending), callback, user_data)
            finally:
                leave()

        def done(pending: PendingCall) -> None:
            if pending.span is not None:
                end_span(pending.span, pending)
            self._frontend.callbacks.put(lambda: ended(pending))

        begun = CallbackCall(body, deadline, done, self._patience(deadline))
        begun.span = self._begin_span()
        self._attachment.submit(self._id, begun)

    def close(self) -> None:
        """See `InferenceSession.close`."""
        if not self._closed:
            self._closed = True
            self._end.detach()
            self._frontend.check_process()
            self._attachment.close_session(self._id)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<session {self._id[:8]} {state} on {self._attachment!r}>"

    @property
    def stats(self) -> SessionStats:
        """What was answered so far."""
        return replace(self._tally.stats(), transport=self._attachment.used)

    def last_call(self) -> CallAccount | None:
        """See `InferenceSession.last_call`."""
        return self._tally.last_call()

    def _begin_span(self) -> CallSpan | None:
        return begin_span(self._attachment.instance, self._id, self._digest)

    def _patience(self, deadline: Deadline) -> float:
        """How long a call waits; what is left after it is for whoever answers instead."""
        if self._patience_s == inf:
            return inf
        return min(self._patience_s, deadline.left_s(self._clock()) / 2)

    def _encode(
        self, output_names: object, input_feed: Mapping[str, Any], run_options: object
    ) -> tuple[RunBody, RunOptions | None]:
        self._frontend.check_process()
        if self._closed:
            raise closed(self._attachment.instance)
        if type(input_feed) is not dict or not input_feed.keys() >= self._required:
            check_names(self.signature.inputs, list(input_feed.keys()))
        options, tag, entries = None, "", _NO_ENTRIES
        if run_options is not None and (options := run_options_of(run_options)) is not None:
            if options.terminate:
                raise terminated()
            tag, entries = options.logid, options.config_entries
        outputs = check_outputs(output_names) if output_names else ()
        inputs = converted(input_feed, self._declared)
        try:
            body = self._writer.body(inputs, outputs, entries, tag, Deferred())
        except InputRejected as error:  # a string without UTF-8: Python's UnicodeEncodeError
            raise builtin_error(error.reason, ValueError, error.message) from None
        if body.size > _MAX_RUN_BYTES:
            raise _too_large(body.size)
        return body, options

    def _wait(self, number: int, pending: PendingCall) -> None:
        try:
            deadline = pending.deadline
            left_s = None if deadline is NEVER else deadline.left_or_none(self._clock())
            if not pending.wait(left_s):
                self._attachment.abandon(number, late())
                if not pending.done:  # another thread ends it at this moment, but is late, too
                    raise late()
        except BaseException as error:
            self._attachment.interrupted(number, error)
            raise

    def _answer(self, pending: PendingCall, began: float, encoded: float) -> list[Value]:
        """The outputs of a call that is over, and its account; raises what it failed with."""
        if pending.error is not None:
            raise worded(pending.error, None)
        assert pending.answer is not None
        answered = self._clock()
        try:
            values = pending.answer.values()
        except UsageError as error:
            raise make_error("BUG", f"the worker's answer can't be read: {error.message}") from None
        part = pending.answer.part
        decoded = self._clock()
        sent = pending.sent_at
        self._tally.pool(measured(part, pending.attempts, began, encoded, sent, answered, decoded))
        return values

    def _terminate(self, number: int) -> None:
        self._attachment.abandon(number, terminated())


def _spec(source: ModelSource, options: SessionOptions, choice: Choice) -> listener_pb2.SessionSpec:
    by_name, by_denotation = options.free_dimension_overrides
    travelling = listener_pb2.SessionOptions(
        graph_optimization_level=int(options.graph_optimization_level),
        execution_mode=int(options.execution_mode),
        config_entries={k: v for k, v in options.config_entries.items() if k != TRANSPORT_KEY},
        free_dimension_overrides_by_name=by_name,
        free_dimension_overrides_by_denotation=by_denotation,
        disable_mem_pattern=not options.enable_mem_pattern,
        disable_cpu_mem_arena=not options.enable_cpu_mem_arena,
        use_deterministic_compute=options.use_deterministic_compute,
        batching=choice.batching,
    )
    return listener_pb2.SessionSpec(
        files=source.messages(),
        options=travelling,
        providers=choice.providers,
        from_path=source.path is not None,
    )


def terminated() -> EaisError:
    """The error of a call that its `RunOptions.terminate` ended."""
    return ort_error("CANCELLED", "Fail", _TERMINATED)


def _too_large(size: int) -> EaisError:
    text = f"strings of a call may take {_MAX_RUN_BYTES} bytes, not {size}"
    return InputRejected("INPUT_SIZE", text)


def call_back(results: Results, callback: Callback, user_data: Any) -> None:
    """Call `callback` with what `results` gives, or with the text of what it raises."""
    try:
        found, text = results(), ""
    except EaisError as error:
        found, text = [], _PREFIX.sub("", str(error), count=1)
    callback(found, user_data, text)


def _drop(frontend: FrontEnd, attachment: Any, session: str) -> None:
    """What is left to do for a session that was forgotten, not closed."""
    frontend.callbacks.put(lambda: attachment.close_session(session))
