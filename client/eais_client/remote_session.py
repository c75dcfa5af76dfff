"""A session on an attached instance: inputs become calls, answers become arrays."""

from __future__ import annotations

import os
import re
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eais.channel import MAX_MESSAGE_BYTES
from eais.deadline import Deadline, current
from eais.errors import EaisError, InputRejected, UsageError, make_error
from eais.rpc.v1 import listener_pb2, value_pb2, worker_pb2
from eais.value import Deferred, Value, encode_value
from eais_client.brain.call_errors import closed, late
from eais_client.brain.choose import Choice, provider_fault, read_choice
from eais_client.feeds import check_names, check_outputs, convert
from eais_client.frontend import FrontEnd, frontend_of
from eais_client.model_source import ModelSource, read_model
from eais_client.opening import Model
from eais_client.ort_errors import builtin_error, ort_error, worded
from eais_client.pending import PendingCall
from eais_client.session_options import (
    RunOptions,
    SessionOptions,
    run_options_of,
)
from eais_client.wire import Outgoing

# What a Run may be besides its deferred tensors: strings can't be sent in pieces.
_MAX_RUN_BYTES = MAX_MESSAGE_BYTES - (1 << 20) - (1 << 16)
_PREFIX = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_TERMINATED = "Exiting due to terminate flag being set to true."

#: What `run_async` calls: (results, user_data, error text or "").
Callback = Callable[[list[Value], Any, str], object]


class RemoteSession:
    """What an `InferenceSession` is made of: it loads on first use what a session needs.

    Arguments, results and errors are those of `InferenceSession`.
    """

    def __init__(
        self,
        path_or_bytes: object,
        options: SessionOptions,
        providers: object,
        provider_options: object,
        frontend: FrontEnd | None,
    ) -> None:
        fault = provider_fault(providers, provider_options)
        if fault:
            warnings.warn(f"EP Error {fault} when using {providers}", stacklevel=3)
        self._choice = read_choice(providers, provider_options, os.environ)
        self._closed = False
        frontend = self._frontend = frontend or _usable_frontend(path_or_bytes)
        deadline = current()
        deadline.check(frontend.clock())
        source = read_model(path_or_bytes, lambda: deadline.check(frontend.clock()))
        instance = frontend.select(self._choice.instance, deadline)
        self._attachment = frontend.attachment(instance)
        model = Model(source, _spec(source, options, self._choice))
        opened = self._attachment.open(model, deadline)
        self._id, self.signature = opened.id, opened.signature
        self._end = weakref.finalize(self, _drop, frontend, self._attachment, opened.id)
        self._end.atexit = False
        self._warn_of_providers()

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: object = None,
    ) -> list[Value]:
        """See `InferenceSession.run`."""
        outgoing, options = self._encode(output_names, input_feed, run_options)
        pending = PendingCall(outgoing, self._deadline())
        number = self._attachment.submit(self._id, pending)
        if options is None:
            self._wait(number, pending)
        else:
            with options.ending(lambda: self._terminate(number)):
                self._wait(number, pending)
        return _answer(pending)

    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        callback: Callback,
        user_data: Any,
        run_options: object = None,
    ) -> None:
        """See `InferenceSession.run_async`."""
        outgoing, _options = self._encode(output_names, input_feed, run_options)
        callbacks, deadline = self._frontend.callbacks, self._deadline()
        leave = callbacks.reserve(deadline.left_or_none(self._frontend.clock()))
        if leave is None:
            raise late()

        def call_back(pending: PendingCall) -> None:
            try:
                _call_back(pending, callback, user_data)
            finally:
                leave()

        def done(pending: PendingCall) -> None:
            callbacks.put(lambda: call_back(pending))

        self._attachment.submit(self._id, PendingCall(outgoing, deadline, done))

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

    def _deadline(self) -> Deadline:
        """The caller's deadline, or the session's own if that is earlier."""
        deadline, seconds = current(), self._choice.timeout_s
        if seconds is not None:
            deadline = deadline.earlier(Deadline.after(seconds, self._frontend.clock()))
        deadline.check(self._frontend.clock())
        return deadline

    def _encode(
        self, output_names: object, input_feed: Mapping[str, Any], run_options: object
    ) -> tuple[Outgoing, RunOptions | None]:
        self._frontend.check_process()
        if self._closed:
            raise closed(self._attachment.instance)
        check_names(self.signature.inputs, list(input_feed.keys()))
        options = run_options_of(run_options)
        if options is not None and options.terminate:
            raise _terminated()
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
        self._attachment.abandon(number, _terminated())

    def _warn_of_providers(self) -> None:
        available = self.signature.providers
        for name in self._choice.providers:
            if name not in available:
                warnings.warn(
                    f"Specified provider '{name}' is not in available provider names."
                    f"Available providers: '{', '.join(available)}'",
                    stacklevel=4,
                )


def _usable_frontend(path_or_bytes: object) -> FrontEnd:
    if not isinstance(path_or_bytes, str | bytes | os.PathLike):
        read_model(path_or_bytes, lambda: None)  # onnxruntime's TypeError comes first
    return frontend_of(os.environ)


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


def _terminated() -> EaisError:
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


def _call_back(pending: PendingCall, callback: Callback, user_data: Any) -> None:
    try:
        results, text = _answer(pending), ""
    except EaisError as error:
        results, text = [], _PREFIX.sub("", str(error), count=1)
    callback(results, user_data, text)


def _drop(frontend: FrontEnd, attachment: Any, session: str) -> None:
    """What is left to do for a session that was forgotten, not closed."""
    frontend.callbacks.put(lambda: attachment.close_session(session))
