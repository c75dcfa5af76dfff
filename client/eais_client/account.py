"""What calls cost, and where their time went: of the last call, and of all of a session."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Final, NamedTuple

from eais.transport.parts import AnswerPart

_KEPT_SESSIONS: Final = 8
"""Whose last call is remembered in one context."""
_FOLD_AT: Final = 256
"""Calls that are added up at a time: by themselves the sums would cost as much as the rest."""


@dataclass(frozen=True, slots=True)
class CallAccount:
    """What one answered call cost. Times are in seconds.

    Attributes:
        encode_s: making a request of the inputs.
        line_s: waiting here until a worker had room for it, or there was one at all; of a call
            that was sent again, all earlier attempts too.
        wire_s: between that and the answer, but for the next two: sending, the network, receiving.
        queue_s: waiting at the worker for its turn.
        compute_s: running the model.
        decode_s: making arrays of the answer.
        batch_size: how many calls ran together, this one included.
        input_bytes, output_bytes: of inputs and outputs, as on the wire.
        attempts: how often it was sent to a worker.
        local: whether this process answered it, in `compute_s`; nothing else is known then.
    """

    encode_s: float = 0.0
    line_s: float = 0.0
    wire_s: float = 0.0
    queue_s: float = 0.0
    compute_s: float = 0.0
    decode_s: float = 0.0
    batch_size: int = 1
    input_bytes: int = 0
    output_bytes: int = 0
    attempts: int = 1
    local: bool = False

    @property
    def total_s(self) -> float:
        """From `run`'s begin to its end."""
        before = self.encode_s + self.line_s + self.wire_s
        return before + self.queue_s + self.compute_s + self.decode_s


class Measured(NamedTuple):
    """What is measured of a call that the pool answered; as `CallAccount`, the cheaper to make."""

    encode_s: float
    line_s: float
    wait_s: float
    decode_s: float
    queue_ns: int
    compute_ns: int
    batch_size: int
    input_bytes: int
    output_bytes: int
    attempts: int


_new: Final[Callable[..., Measured]] = tuple.__new__
"""Makes one in half the time of calling the class."""


def measured(
    part: AnswerPart,
    attempts: int,
    began: float,
    encoded: float,
    sent: float,
    answered: float,
    decoded: float,
) -> Measured:
    """The measure of a call that got `part`, of the times at which it was so far, in seconds.

    `sent`: 0 if that was at once when it was encoded.
    """
    line = sent - encoded if sent > encoded else 0.0
    return _new(
        Measured,
        (
            encoded - began,
            line,
            answered - encoded - line,
            decoded - answered,
            part.queue_ns,
            part.compute_ns,
            part.batch_size,
            part.input_bytes,
            part.output_bytes,
            attempts,
        ),
    )


@dataclass(frozen=True, slots=True)
class CallTotals:
    """Sums over all calls of a session that the pool answered.

    Attributes are those of `CallAccount`; `batch_size` ÷ calls is the mean size of a batch.
    """

    encode_s: float = 0.0
    line_s: float = 0.0
    wire_s: float = 0.0
    queue_s: float = 0.0
    compute_s: float = 0.0
    decode_s: float = 0.0
    batch_size: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    attempts: int = 0


#: (whose, what) of the last calls here, the latest first; an account that is ready, or to be made.
_Entry = tuple[object, Measured | CallAccount]
_last: ContextVar[tuple[_Entry, ...]] = ContextVar("eais_last_calls", default=())


def remember(owner: object, call: Measured | CallAccount) -> None:
    """Keep the account of a call that ended in this thread, or asyncio task."""
    before = _last.get()
    if not before or (len(before) == 1 and before[0][0] is owner):
        _last.set(((owner, call),))
        return
    others = [entry for entry in before if entry[0] is not owner]
    _last.set(((owner, call), *others[: _KEPT_SESSIONS - 1]))


def last_call(owner: object) -> CallAccount | None:
    """The account of `owner`'s call that was answered here last; None if none was."""
    for whose, call in _last.get():
        if whose is owner:
            return _account(call) if isinstance(call, Measured) else call
    return None


def _account(call: Measured) -> CallAccount:
    queue_s, compute_s = call.queue_ns / 1e9, call.compute_ns / 1e9
    return CallAccount(
        encode_s=call.encode_s,
        line_s=call.line_s,
        wire_s=max(0.0, call.wait_s - queue_s - compute_s),
        queue_s=queue_s,
        compute_s=compute_s,
        decode_s=call.decode_s,
        batch_size=call.batch_size,
        input_bytes=call.input_bytes,
        output_bytes=call.output_bytes,
        attempts=call.attempts,
    )


class Sums:
    """Adds up calls, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: list[Measured] = []
        self._sums = Measured(0.0, 0.0, 0.0, 0.0, 0, 0, 0, 0, 0, 0)
        self._calls = 0

    def add(self, call: Measured) -> None:
        """Add one."""
        self._recent.append(call)
        if len(self._recent) >= _FOLD_AT:
            self._folded()

    def calls(self) -> int:
        """How many were added."""
        self._folded()
        return self._calls

    def totals(self) -> CallTotals:
        """The sums now."""
        all_of = _account(self._folded())
        return CallTotals(**{each.name: getattr(all_of, each.name) for each in fields(CallTotals)})

    def _folded(self) -> Measured:
        with self._lock:
            # What others append meanwhile stands behind it.
            recent = self._recent[:]
            del self._recent[: len(recent)]
            self._calls += len(recent)
            self._sums = Measured(*map(sum, zip(self._sums, *recent, strict=True)))
            return self._sums
