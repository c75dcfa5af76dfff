"""A session on an attached instance: inputs become calls, answers become arrays."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from eais.channel import MAX_MESSAGE_BYTES
from eais.deadline import current
from eais.errors import EaisError, InputRejected, UsageError, make_error
from eais.rpc.v1 import listener_pb2, value_pb2, worker_pb2
from eais.value import Deferred, Value, encode_value
from eais_client.asked import Asked, Callback
from eais_client.brain.call_errors import closed, late
from eais_client.brain.choose import Choice
from eais_client.feeds import check_names, check_outputs, convert
from eais_client.frontend import MANAGER_PATIENCE_S, FrontEnd
from eais_client.model_source import ModelSource
from eais_client.opening import Model
from eais_client.ort_errors import builtin_error, ort_error, worded
from eais_client.pending import Done, PendingCall
from eais_client.session_options import (
    RunOptions,
    SessionOptions,
    run_options_of,
)
from eais_client.session_stats import SessionStats, Tally
from eais_client.tracing import begin_span, end_span
from eais_client.wire import Outgoing

# What a Run may be besides its deferred tensors: strings can't be sent in pieces.
_MAX_RUN_BYTES = MAX_MESSAGE_BYTES - (1 << 20) - (1 << 16)
_PREFIX = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
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
        self._attachment = frontend.attachment(instance)
        model = Model(asked.source, _spec(asked.source, asked.options, asked.choice))
        opened = self._attachment.open(model, deadline, opening_s)
        self._id, self.signature = opened.id, opened.signature
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
        outgoing, options = self._encode(output_names, input_feed, run_options)
        pending = self._pending(outgoing)
        span = begin_span(outgoing.message, self._digest)
        try:
            self._send_and_wait(pending, options)
        finally:
            if span is not None:
                end_span(span, pending)
        answer = _answer(pending)
        self._tally.pool()
        return answer

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
        outgoing, _options = self._encode(output_names, input_feed, run_options)
        leave = self._frontend.callback_room(self._asked.call_deadline())

        def ended(pending: PendingCall) -> None:
            try:
                call_back(self._rescued(pending, rescue), callback, user_data)
            finally:
                leave()

        def done(pending: PendingCall) -> None:
            if span is not None:
                end_span(span, pending)
            self._frontend.callbacks.put(lambda: ended(pending))

        pending = self._pending(outgoing, done)
        span = begin_span(outgoing.message, self._digest)
        self._attachment.submit(self._id, pending)

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
        return self._tally.stats()

    def _pending(self, outgoing: Outgoing, done: Done | None = None) -> PendingCall:
        deadline = self._asked.call_deadline()
        # What is left after it is for whoever answers instead.
        patience_s = min(self._patience_s, deadline.left_s(self._frontend.clock()) / 2)
        patience_s = patience_s if self._patience_s < inf else inf
        return PendingCall(outgoing, deadline, done, patience_s)

    def _rescued(self, pending: PendingCall, rescue: Rescue | None) -> Results:
        def results() -> list[Value]:
            try:
                answer = _answer(pending)
            except EaisError as error:
                if rescue is None:
                    raise
                return rescue(error)
            self._tally.pool()
            return answer

        return results

    def _encode(
        self, output_names: object, input_feed: Mapping[str, Any], run_options: object
    ) -> tuple[Outgoing, RunOptions | None]:
        self._frontend.check_process()
        if self._closed:
            raise closed(self._attachment.instance)
        check_names(self.signature.inputs, list(input_feed.keys()))
        options = run_options_of(run_options)
        if options is not None and options.terminate:
            raise terminated()
        message = worker_pb2.Run(
            instance=self._attachment.instance,
            session=self._id,
            outputs=check_outputs(output_names),
        )
        if options is not None:
            message.options.tag = options.logid
            message.options.config_entries.update(options.config_entries)
        deferred = Deferred()
        message.inputs.extend(self._inputs(input_feed, deferred))
        return _outgoing(message, deferred), options

    def _inputs(
        self, input_feed: Mapping[str, Any], deferred: Deferred
    ) -> list[value_pb2.NamedValue]:
        declared = {arg.name: arg for arg in self.signature.inputs}
        declared |= {arg.name: arg for arg in self.signature.overridable_initializers}
        return [
            value_pb2.NamedValue(
                name=name,
                value=_encoded(convert(name, value, declared.get(name)), deferred),
            )
            for name, value in input_feed.items()
        ]

    def _send_and_wait(self, pending: PendingCall, options: RunOptions | None) -> None:
        number = self._attachment.submit(self._id, pending)
        if options is None:
            self._wait(number, pending)
        else:
            with options.ending(lambda: self._terminate(number)):
                self._wait(number, pending)

    def _wait(self, number: int, pending: PendingCall) -> None:
        try:
            left_s = pending.deadline.left_or_none(self._frontend.clock())
            if not pending.wait(left_s):
                self._attachment.abandon(number, late())
        except BaseException as error:
            # Ctrl-C, or whatever else ended the caller: the worker needn't go on.
            self._attachment.abandon(number, UsageError("CANCELLED", f"{type(error).__name__}"))
            raise

    def _terminate(self, number: int) -> None:
        self._attachment.abandon(number, terminated())


def _spec(source: ModelSource, options: SessionOptions, choice: Choice) -> listener_pb2.SessionSpec:
    by_name, by_denotation = options.free_dimension_overrides
    travelling = listener_pb2.SessionOptions(
        graph_optimization_level=int(options.graph_optimization_level),
        execution_mode=int(options.execution_mode),
        config_entries=options.config_entries,
        free_dimension_overrides_by_name=by_name,
        free_dimension_overrides_by_denotation=by_denotation,
        disable_mem_pattern=not options.enable_mem_pattern,
        disable_cpu_mem_arena=not options.enable_cpu_mem_arena,
        use_deterministic_compute=options.use_deterministic_compute,
    )
    return listener_pb2.SessionSpec(
        files=source.messages(),
        options=travelling,
        providers=choice.providers,
        from_path=source.path is not None,
    )


def _encoded(value: Value, deferred: Deferred) -> value_pb2.Value:
    try:
        return encode_value(value, deferred)
    except InputRejected as error:  # a string without UTF-8: Python's UnicodeEncodeError is one
        raise builtin_error(error.reason, ValueError, error.message) from None


def terminated() -> EaisError:
    """The error of a call that its `RunOptions.terminate` ended."""
    return ort_error("CANCELLED", "Fail", _TERMINATED)


def _outgoing(message: worker_pb2.Run, deferred: Deferred) -> Outgoing:
    inline = message.ByteSize()
    if inline > _MAX_RUN_BYTES:
        raise InputRejected(
            "INPUT_SIZE", f"strings of a call may take {_MAX_RUN_BYTES} bytes, not {inline}"
        )
    return Outgoing(message, deferred, inline + sum(map(len, deferred.buffers)))


def _answer(pending: PendingCall) -> list[Value]:
    if pending.error is not None:
        raise worded(pending.error, None)
    assert pending.answer is not None
    try:
        return pending.answer.values()
    except UsageError as error:
        raise make_error("BUG", f"the worker's answer can't be read: {error.message}") from None


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
