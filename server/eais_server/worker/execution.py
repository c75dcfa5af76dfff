"""One call on a run thread: decode its inputs, run, encode its outputs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from eais.channel import MAX_MESSAGE_BYTES, PIECE_BYTES
from eais.errors import EaisError, InputRejected, UsageError, make_error
from eais.rpc.status import error_to_message
from eais.rpc.v1 import value_pb2, worker_pb2
from eais.value import Deferred, checked_size, decode_value, deferred_tensors, encode_value
from eais_server.devices.driver import PreparedRun, RawTensor

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES: Final = MAX_MESSAGE_BYTES - 2 * PIECE_BYTES
"""Of an answer without its deferred tensors, so that a piece fits beside it."""

MAX_VALUES: Final = 1 << 16
"""Of a call's inputs, sequences and what is in them: the event loop looks at each."""
MAX_ENTRIES: Final = 1024
"""Of a call's options."""

_SHOWN: Final = 64
_FIRST_EXTENDED: Final = value_pb2.ElementType.BFLOAT16


@dataclass(frozen=True, eq=False, slots=True)
class Result:
    """An answer, the tensors that follow it, and what it cost."""

    answer: worker_pb2.Answer
    deferred: Deferred
    compute_ns: int


def announced(run: worker_pb2.Run) -> tuple[int, ...]:
    """Bytes of each deferred input tensor, in wire order, checked against its dims.

    Raises:
        InputRejected: INPUT_SIZE or INPUT_DTYPE; UsageError: MALFORMED_MESSAGE;
        ModelRejected: OPTION_REFUSED, there are too many.
    """
    _check_counts(run)
    return tuple(size for named in run.inputs for size in _announced(named))


def _check_counts(run: worker_pb2.Run) -> None:
    if (entries := len(run.options.config_entries)) > MAX_ENTRIES:
        raise make_error("OPTION_REFUSED", f"{entries} options of a run; at most {MAX_ENTRIES}")
    if run.ByteSize() <= MAX_VALUES:  # each takes two bytes
        return
    count = len(run.inputs)
    for named in run.inputs:
        if count > MAX_VALUES:
            break
        count += _within(named.value, MAX_VALUES - count)
    if count > MAX_VALUES:
        raise make_error("INPUT_SIZE", f"more than {MAX_VALUES} values in the inputs of a call")


def _within(value: value_pb2.Value, most: int) -> int:
    """How many values are in `value`; when it is more than `most`, just so."""
    if not value.HasField("sequence"):
        return 0
    parts = value.sequence.values
    count = len(parts)
    for part in parts:
        if count > most:
            break
        count += _within(part, most - count)
    return count


def _announced(named: value_pb2.NamedValue) -> Iterator[int]:
    try:
        for tensor in deferred_tensors(named.value):
            checked_size(tensor)
            yield tensor.deferred_bytes
    except UsageError as error:
        raise _of_input(named.name, error) from None


def execute(
    run: worker_pb2.Run,
    buffers: Iterable[bytearray],
    prepared: PreparedRun,
    queue_ns: int,
    clock: Callable[[], int],
    ends_ns: int | None = None,
) -> Result:
    """Run a call whose tensors are all here; never raises.

    Args:
        queue_ns: how long it waited.
        clock: monotonic nanoseconds.
        ends_ns: when nobody waits for it any more: from then on it isn't run.
    """
    cost = _Cost(clock)
    try:
        if ends_ns is not None and clock() >= ends_ns:
            raise late()
        answer, deferred = _answer(run, buffers, prepared, cost)
    except EaisError as error:
        answer, deferred = _refusal(error)
    except MemoryError:
        answer, deferred = _refusal(
            make_error("RUN_MEMORY", "the inputs or outputs don't fit the worker's memory")
        )
    except Exception:
        # The edge of the thread: what it says stays in the log.
        log.exception("BUG: a call raised")
        answer, deferred = _refusal(make_error("BUG", "the worker failed on this call"))
    answer.call_id = run.call_id
    answer.account.queue_ns, answer.account.compute_ns = queue_ns, cost.compute_ns
    answer.account.batch_size = 1
    return Result(answer, deferred, cost.compute_ns)


def late() -> EaisError:
    """The error of a call whose caller's deadline came before its answer."""
    return make_error("DEADLINE_EXCEEDED", "the caller's deadline has passed")


def _refusal(error: EaisError) -> tuple[worker_pb2.Answer, Deferred]:
    return worker_pb2.Answer(error=error_to_message(error)), Deferred()


@dataclass(eq=False, slots=True)
class _Cost:
    clock: Callable[[], int]
    compute_ns: int = 0


def _answer(
    run: worker_pb2.Run, buffers: Iterable[bytearray], prepared: PreparedRun, cost: _Cost
) -> tuple[worker_pb2.Answer, Deferred]:
    feed = _feed(run.inputs, buffers)
    begun = cost.clock()
    try:
        outputs = prepared.execute(list(run.outputs), feed)
    finally:
        cost.compute_ns = cost.clock() - begun
    return encode(outputs)


def _feed(inputs: Iterable[value_pb2.NamedValue], buffers: Iterable[bytearray]) -> dict[str, Any]:
    waiting = iter(buffers)
    feed: dict[str, Any] = {}
    for named in inputs:
        if named.name in feed:
            raise _of_input(named.name, InputRejected("INPUT_DUPLICATE", "it is there twice"))
        try:
            value = decode_value(named.value, waiting)
        except UsageError as error:
            raise _of_input(named.name, error) from None
        kind = named.value.tensor.type
        feed[named.name] = RawTensor(kind, value) if kind >= _FIRST_EXTENDED else value
    return feed


def _of_input(name: str, error: EaisError) -> EaisError:
    """`error`, that says which input it is about."""
    shown = name[:_SHOWN]
    metadata = {"input": shown, **error.metadata}
    return make_error(error.reason, f"input {shown!a}: {error.message}", metadata=metadata)


def encode(outputs: Iterable[Any]) -> tuple[worker_pb2.Answer, Deferred]:
    """Outputs as an answer without its call id.

    Raises:
        RemoteError: OUTPUT_UNSUPPORTED for a value that has no wire form (sparse tensors),
            OUTPUT_TOO_LARGE when what can't be sent in pieces is above `MAX_ANSWER_BYTES`.
    """
    deferred = Deferred()
    try:
        values = [_encode(output, deferred) for output in outputs]
    except InputRejected as error:
        raise make_error(
            "OUTPUT_UNSUPPORTED", f"an output can't be sent: {error.message}"
        ) from None
    answer = worker_pb2.Answer(outputs=values)
    if answer.ByteSize() > MAX_ANSWER_BYTES:
        raise make_error(
            "OUTPUT_TOO_LARGE",
            f"the outputs' strings, maps and lists need {answer.ByteSize()} bytes; "
            f"at most {MAX_ANSWER_BYTES}",
        )
    return answer, deferred


def _encode(output: Any, deferred: Deferred) -> value_pb2.Value:
    if not isinstance(output, RawTensor):
        return encode_value(output, deferred)
    value = encode_value(output.bits, deferred)
    value.tensor.type = output.element_type  # type: ignore[assignment]
    return value
