"""The calls of one client stream: who may call, pieces put together, cancels. (Brain)

A call is COLLECTING while pieces of its tensors are on their way, then HANDED
to be queued and run, then forgotten. Each call gets exactly one answer. A
piece or a cancel for a call that is forgotten means nothing: it crossed the
answer on its way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Hashable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from eais.errors import EaisError, make_error
from eais.transport.parts import Buffer

# The same text for what isn't there and for what isn't yours.
NOT_HERE: Final = "there is no such instance"
NO_MEMORY: Final = "the inputs or outputs don't fit the worker's memory"
_NONE: Final = memoryview(b"")


@dataclass(frozen=True, slots=True)
class Service:
    """What this worker serves: one instance, under one epoch."""

    instance: str
    epoch: int


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Bounds of what callers can make a worker hold.

    Attributes:
        calls: of one stream, not yet answered.
        waiting: of all streams, complete and not yet running.
        held_bytes: of the inputs of all calls, announced or here, not yet answered.
    """

    calls: int = 1024
    waiting: int = 1024
    held_bytes: int = 4 << 30


@dataclass(eq=False, slots=True)
class Budget:
    """What all may hold together, such that nobody can hold it all.

    Who holds something already gets no more than is left free: alone it comes to half of the
    limit, and with others to as much as each of them (dynamic thresholds, Choudhury and Hahne
    1998). Who holds nothing may take all that is free.
    """

    limit: int
    held: int = 0
    _by_owner: Counter[Hashable] = field(default_factory=Counter)

    def take(self, owner: Hashable, size: int) -> bool:
        """Book `size` for `owner`; False, and nothing booked, if that is too much."""
        own, free = self._by_owner[owner], self.limit - self.held
        if size > free or (own and own + size > free):
            return False
        self.held += size
        self._by_owner[owner] = own + size
        return True

    def give(self, owner: Hashable, size: int) -> None:
        """Give back what was booked."""
        self.held -= size
        self._by_owner[owner] -= size
        if not self._by_owner[owner]:
            del self._by_owner[owner]


@dataclass(eq=False, slots=True)
class Asked:
    """A call as it came in; nothing of it changes.

    Attributes:
        inline_bytes: of the message itself.
        deferred: bytes of each tensor that follows in pieces.
        timeout_s: that its caller waits; 0: as long as it takes.
        body: the shell's own; never looked at here.
    """

    call_id: int
    instance: str
    epoch: int
    session: str
    inline_bytes: int = 0
    deferred: tuple[int, ...] = ()
    timeout_s: float = 0.0
    body: Any = None

    @property
    def size(self) -> int:
        """Bytes that it holds until it is answered."""
        return self.inline_bytes + sum(self.deferred) if self.deferred else self.inline_bytes


@dataclass(frozen=True, slots=True)
class Start:
    """The call is complete: queue it. `buffers` are its deferred tensors."""

    asked: Asked
    buffers: tuple[memoryview, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer the call with this error."""

    asked: Asked
    error: EaisError


@dataclass(frozen=True, slots=True)
class Stop:
    """Nobody waits for the call any more: end it if it runs, drop what it gives."""

    asked: Asked


Action = Start | Refuse | Stop


class Gate(Protocol):
    """Says whether there will be time for a call; see `eais_server.worker.admission`."""

    def refusal(self, asked: Asked, /) -> EaisError | None:
        """BUSY if it can't be run in time."""
        ...

    def busy(self, asked: Asked, /) -> EaisError:
        """BUSY, for there is no room: with the time to come back."""
        ...


@dataclass(eq=False, slots=True)
class _Tensor:
    """A deferred tensor: memory for all of it, of which `have` bytes are here."""

    size: int
    have: int = 0
    memory: memoryview = _NONE

    def extend(self, data: Buffer) -> None:
        if not self.have:
            # Not before, and not cleared: until they come, its bytes take no memory.
            self.memory = np.empty(self.size, np.uint8).data
        end = self.have + len(data)
        self.memory[self.have : end] = data
        self.have = end


@dataclass(eq=False, slots=True)
class _Call:
    asked: Asked
    tensors: tuple[_Tensor, ...]
    missing: int
    handed: bool = False


@dataclass(eq=False)
class StreamCalls:
    """All calls of one stream that aren't answered yet.

    Args:
        sessions: the sessions loaded here, as they are at each question.
        budget: bytes, shared with the other streams.
        frontend: whose stream it is.
    """

    service: Service
    sessions: Container[str]
    budget: Budget
    limits: CallLimits
    frontend: Hashable
    gate: Gate
    draining: bool = False
    _calls: dict[int, _Call] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._calls)

    def takes_now(self, call_id: int, instance: str, epoch: int) -> bool:
        """Whether a call would be taken, if there is room and its session is here."""
        service = self.service
        return (
            instance == service.instance
            and epoch == service.epoch
            and call_id not in self._calls
            and not self.draining
        )

    def on_run(self, asked: Asked) -> list[Action]:
        """A call comes in: refused, started, or waiting for its pieces."""
        error = self._objection(asked)
        if error is not None:
            return [Refuse(asked, error)]
        call = _Call(asked, tuple(map(_Tensor, asked.deferred)), sum(asked.deferred))
        self._calls[asked.call_id] = call
        return self._start_if_whole(call)

    def _objection(self, asked: Asked) -> EaisError | None:
        """Why the call isn't taken; its bytes are booked if it is."""
        service = self.service
        if asked.call_id in self._calls:
            return make_error("DUPLICATE_ID", "a call of this id is still in flight")
        if asked.instance != service.instance:
            return make_error("NOT_FOUND", NOT_HERE)
        if asked.epoch < service.epoch:
            return make_error(
                "STALE_EPOCH",
                f"epoch {asked.epoch} is over; the instance was granted anew",
                metadata={"epoch": str(service.epoch)},
            )
        if self.draining or asked.epoch > service.epoch:
            return make_error("DRAINING", "this worker takes no new calls")
        if asked.session not in self.sessions:
            return make_error("SESSION_UNKNOWN", "the session isn't open here; open it again")
        return self._overload(asked)

    def _overload(self, asked: Asked) -> EaisError | None:
        if asked.size > self.limits.held_bytes:
            return make_error(
                "INPUT_SIZE", f"{asked.size} bytes of inputs; at most {self.limits.held_bytes}"
            )
        if len(self._calls) >= self.limits.calls:
            return self.gate.busy(asked)
        late = self.gate.refusal(asked)
        if late is not None:
            return late
        return None if self.budget.take(self.frontend, asked.size) else self.gate.busy(asked)

    def on_piece(self, call_id: int, tensor: int, offset: int, data: Buffer) -> list[Action]:
        """Bytes of a deferred tensor: in order, never more than were announced."""
        call = self._calls.get(call_id)
        if call is None:
            return []
        error = _misplaced(call, tensor, offset, len(data))
        if error is not None:
            return self.on_end(call_id, error)
        if data:
            try:
                call.tensors[tensor].extend(data)
            except MemoryError:
                return self.on_end(call_id, make_error("RUN_MEMORY", NO_MEMORY))
        call.missing -= len(data)
        return self._start_if_whole(call)

    def _start_if_whole(self, call: _Call) -> list[Action]:
        if call.missing or call.handed:
            return []
        call.handed = True
        return [Start(call.asked, tuple(tensor.memory for tensor in call.tensors))]

    def on_cancel(self, call_id: int) -> list[Action]:
        """The client doesn't want the answer any more."""
        return self.on_end(call_id, make_error("CANCELLED", "the call was cancelled"))

    def on_end(self, call_id: int, error: EaisError) -> list[Action]:
        """End a call, wherever it is, and answer it with `error`."""
        call = self._forget(call_id)
        if call is None:
            return []
        stop: list[Action] = [Stop(call.asked)] if call.handed else []
        return [*stop, Refuse(call.asked, error)]

    def on_answered(self, asked: Asked) -> bool:
        """The call has run; whether its answer is still wanted."""
        call = self._calls.get(asked.call_id)
        if call is None or call.asked is not asked:
            return False
        self._forget(asked.call_id)
        return True

    def on_closed(self) -> list[Action]:
        """The stream is gone: no answers, and no more work for it."""
        calls = [self._forget(call_id) for call_id in list(self._calls)]
        return [Stop(call.asked) for call in calls if call]

    def _forget(self, call_id: int) -> _Call | None:
        call = self._calls.pop(call_id, None)
        if call is not None:
            self.budget.give(self.frontend, call.asked.size)
        return call


def _misplaced(call: _Call, tensor: int, offset: int, size: int) -> EaisError | None:
    deferred = call.asked.deferred
    if tensor >= len(deferred):
        return make_error("INPUT_SIZE", f"a piece of tensor {tensor}; {len(deferred)} are deferred")
    have = call.tensors[tensor].have
    if offset > have:
        return make_error("CHUNK_GAP", f"tensor {tensor}: a piece at {offset}, expected at {have}")
    if offset < have:
        return make_error("CHUNK_OVERLAP", f"tensor {tensor}: {offset} was sent before")
    if have + size > deferred[tensor]:
        return make_error(
            "INPUT_SIZE", f"tensor {tensor}: more than the {deferred[tensor]} bytes announced"
        )
    return None
