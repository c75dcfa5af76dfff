"""One call on a run thread: decode its inputs, run, encode its outputs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from eais.channel import MAX_MESSAGE_BYTES
from eais.errors import EaisError, InputRejected, UsageError, make_error
from eais.rpc.status import error_to_message
from eais.rpc.v1 import value_pb2
from eais.transport.messages import MAX_VALUES
from eais.transport.parts import Buffer, RunPart, SequencePart, TensorPart, ValuePart
from eais.transport.tensors import array_of, checked_size, deferred_tensors, value_of
from eais.transport.writing import AnswerWriter, EncodedAnswer, refusal
from eais.value import Deferred, RawTensor
from eais_server.devices.driver import PreparedRun
from eais_server.runtime.memory import no_memory
from eais_server.turns.turn import Turn
from eais_server.worker.calls import NO_MEMORY

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES: Final = MAX_MESSAGE_BYTES - (2 << 20)
"""Of an answer without its deferred tensors; a message holds a little more."""

MAX_ENTRIES: Final = 1024
"""Of a call's options."""

_SHOWN: Final = 64
_FIRST_EXTENDED: Final = int(value_pb2.ElementType.BFLOAT16)
_NONE: Final[tuple[int, ...]] = ()
# Half the time of calling the class.
_new: Final[Callable[..., Any]] = tuple.__new__


class Result(NamedTuple):
    """An answer, and what it cost.

    Attributes:
        reason: of its error; "" when it has outputs.
        queue_ns, compute_ns: what the call waited, and what the runtime took.
    """

    answer: EncodedAnswer
    reason: str = ""
    queue_ns: int = 0
    compute_ns: int = 0


def announced(run: RunPart) -> tuple[int, ...]:
    """Bytes of each deferred input tensor, in wire order, checked against its dims.

    Raises:
        InputRejected: INPUT_SIZE or INPUT_DTYPE; UsageError: MALFORMED_MESSAGE;
        ModelRejected: OPTION_REFUSED, there are too many.
    """
    _check_counts(run)
    found = _NONE
    for name, value in run.inputs:
        if isinstance(value, TensorPart) and not value.deferred_bytes:
            continue
        found += tuple(_announced(name, value))
    return found


def _check_counts(run: RunPart) -> None:
    if (entries := len(run.config_entries)) > MAX_ENTRIES:
        raise make_error("OPTION_REFUSED", f"{entries} options of a run; at most {MAX_ENTRIES}")
    if run.size <= MAX_VALUES:  # each takes two bytes
        return
    count = len(run.inputs)
    for _name, value in run.inputs:
        if count > MAX_VALUES:
            break
        count += _within(value, MAX_VALUES - count)
    if count > MAX_VALUES:
        raise make_error("INPUT_SIZE", f"more than {MAX_VALUES} values in the inputs of a call")


def _within(value: ValuePart, most: int) -> int:
    """How many values are in `value`; when it is more than `most`, just so."""
    if not isinstance(value, SequencePart):
        return 0
    count = len(value.values)
    for part in value.values:
        if count > most:
            break
        count += _within(part, most - count)
    return count


def _announced(name: str, value: ValuePart) -> Iterator[int]:
    try:
        for tensor in deferred_tensors(value):
            checked_size(tensor)
            yield tensor.deferred_bytes
    except UsageError as error:
        raise _of_input(name, error) from None


def answer_it(error: EaisError) -> None:
    """Nobody watches the device: that it is lost is what its calls are answered."""


class Execution:
    """Runs calls whose tensors are all here. Any thread, but each its own.

    Args:
        clock: monotonic nanoseconds.
        turn: which is taken for each run; None: the device isn't shared, or who runs has taken it.
        lost: called when a run fails for the device's sake, before that is anybody's answer; it
            needn't return.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        turn: Turn | None = None,
        lost: Callable[[EaisError], None] = answer_it,
    ) -> None:
        self._clock = clock
        self.turn = turn
        self._lost = lost
        self._writer = AnswerWriter()

    def run(
        self,
        run: RunPart,
        buffers: Sequence[Buffer],
        prepared: PreparedRun,
        queue_ns: int = 0,
        ends_ns: int | None = None,
    ) -> Result:
        """Run a call; never raises.

        Args:
            queue_ns: how long it waited.
            ends_ns: when nobody waits for it any more: from then on it isn't run.
        """
        begun = ended = 0
        try:
            if ends_ns is not None and self._clock() >= ends_ns:
                raise late()
            feed = feed_of(run, buffers)
            if self.turn is not None:
                return self._run_in_turn(self.turn, run, buffers, feed, prepared, queue_ns, ends_ns)
            begun = self._clock()
            try:
                outputs = prepared.execute(run.outputs, feed)
            finally:
                ended = self._clock()
            return self.answered(run, buffers, outputs, queue_ns, ended - begun)
        except Exception as error:  # noqa: BLE001 - the edge of the thread: judged by `failed`
            return self.failed(run, buffers, error, queue_ns, ended - begun)

    def _run_in_turn(
        self,
        turn: Turn,
        run: RunPart,
        buffers: Sequence[Buffer],
        feed: dict[str, Any],
        prepared: PreparedRun,
        queue_ns: int,
        ends_ns: int | None,
    ) -> Result:
        asked = begun = ended = self._clock()
        try:
            take(turn, prepared)
            try:
                begun = ended = self._clock()
                if ends_ns is not None and begun >= ends_ns:
                    raise late()
                outputs = prepared.execute(run.outputs, feed)
            finally:
                ended = self._clock()
                turn.give()
            queue_ns += begun - asked
            return self.answered(run, buffers, outputs, queue_ns, ended - begun)
        except Exception as error:  # noqa: BLE001 - as in `run`
            return self.failed(run, buffers, error, queue_ns, ended - begun)

    def answered(
        self,
        run: RunPart,
        buffers: Sequence[Buffer],
        outputs: Sequence[Any],
        queue_ns: int,
        compute_ns: int,
        batch_size: int = 1,
    ) -> Result:
        """The result of a call that gave `outputs`.

        Raises:
            RemoteError: OUTPUT_UNSUPPORTED for a value that has no wire form (sparse tensors),
                OUTPUT_TOO_LARGE when what can't be sent in pieces is above `MAX_ANSWER_BYTES`.
        """
        size = size_of(run, buffers) if buffers else run.size
        try:
            answer = self._writer.answer(
                run.call_id, outputs, queue_ns, compute_ns, batch_size, size, Deferred()
            )
        except InputRejected as error:
            text = f"an output can't be sent: {error.message}"
            raise make_error("OUTPUT_UNSUPPORTED", text) from None
        if answer.size > MAX_ANSWER_BYTES:
            raise make_error(
                "OUTPUT_TOO_LARGE",
                f"the outputs' strings, maps and lists need {answer.size} bytes; "
                f"at most {MAX_ANSWER_BYTES}",
            )
        result: Result = _new(Result, (answer, "", queue_ns, compute_ns))
        return result

    def failed(
        self,
        run: RunPart,
        buffers: Sequence[Buffer],
        cause: Exception,
        queue_ns: int,
        compute_ns: int,
        batch_size: int = 1,
    ) -> Result:
        """The result of a call that raised `cause`; to be called while it is handled."""
        error = _judged(cause)
        if error.reason == "DEVICE_LOST":
            self._lost(error)
        size, told = size_of(run, buffers), error_to_message(error)
        answer = refusal(run.call_id, told, queue_ns, compute_ns, batch_size, size)
        return Result(answer, error.reason, queue_ns, compute_ns)


def size_of(run: RunPart, buffers: Sequence[Buffer]) -> int:
    """Bytes of the call's inputs, as they came."""
    return run.size + sum(map(len, buffers))


def _judged(cause: Exception) -> EaisError:
    if isinstance(cause, EaisError):
        return cause
    if isinstance(cause, MemoryError):
        return no_memory("RUN_MEMORY", NO_MEMORY)
    # What it says stays in the log.
    log.error("BUG: a call raised", exc_info=cause)
    return make_error("BUG", "the worker failed on this call")


def late() -> EaisError:
    """The error of a call whose caller's deadline came before its answer."""
    return make_error("DEADLINE_EXCEEDED", "the caller's deadline has passed")


def take(turn: Turn, prepared: PreparedRun) -> None:
    """Wait for the turn on the device, unless the run is told to end meanwhile: RUN_FAILED."""
    if not turn.take(lambda: prepared.terminated):
        raise make_error("RUN_FAILED", "the run was ended while it waited for its turn")


def feed_of(run: RunPart, buffers: Sequence[Buffer] = ()) -> dict[str, Any]:
    """What the runtime is given: a value for each input by its name.

    Raises:
        InputRejected: INPUT_DUPLICATE, and as `value_of`, that say which input it is.
    """
    waiting = iter(buffers)
    feed: dict[str, Any] = {}
    for name, part in run.inputs:
        if name in feed:
            raise _of_input(name, InputRejected("INPUT_DUPLICATE", "it is there twice"))
        try:
            if type(part) is not TensorPart:
                feed[name] = value_of(part, waiting)
            elif part.type < _FIRST_EXTENDED:
                feed[name] = array_of(part, waiting)
            else:
                feed[name] = RawTensor(part.type, array_of(part, waiting))
        except UsageError as error:
            raise _of_input(name, error) from None
    return feed


def _of_input(name: str, error: EaisError) -> EaisError:
    """`error`, that says which input it is about."""
    shown = name[:_SHOWN]
    metadata = {"input": shown, **error.metadata}
    return make_error(error.reason, f"input {shown!a}: {error.message}", metadata=metadata)
