"""One source of load in a process of its own: calls on a raw stream, closed or open loop.

    python -m benchmarks.overload.load SPEC

SPEC is the JSON of `Spec`; what became of the calls is printed as the JSON of `Outcome`. It
doesn't use the client library, which would wait when a worker has no room: what is measured
is the worker. A refused call is counted, and not sent again.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import grpc

from benchmarks.overload.model import inputs
from eais import channel, tls
from eais.credentials import client_credentials
from eais.rpc import client, verbs
from eais.rpc.hello import hello
from eais.rpc.v1 import worker_pb2

# What is due within one tick shares a message, as calls of a program's threads would.
_TICK_S = 0.008
_DRAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Spec:
    """What to send, where to, as whom.

    Attributes:
        bundle: file with key, leaf and CA.
        callers: of a closed loop; 0: an open loop of
        rate: calls a second, evenly spaced.
        warm_s, seconds: what is sent in `warm_s` isn't counted.
        cores: to run on; none: any.
    """

    address: str
    server_name: str
    bundle: str
    instance: str
    epoch: int
    session: str
    callers: int
    rate: float
    warm_s: float
    seconds: float
    cores: tuple[int, ...] = ()


@dataclass(slots=True)
class Outcome:
    """Latencies in ms, of answered calls, from when they were to be sent."""

    latencies_ms: list[float] = field(default_factory=list)
    offered: int = 0
    refused: int = 0
    without_push_back: int = 0
    push_back_ms: int = 0
    failed: dict[str, int] = field(default_factory=dict)


class Source:
    """Sends on a stream and takes its answers."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self.outcome = Outcome()
        self._meant: dict[int, float] = {}
        self._free: deque[int] = deque(range(1, spec.callers + 1))
        self._more = threading.Condition()
        self._numbers = spec.callers
        self._begin = time.monotonic()
        self._from = self._begin + spec.warm_s
        self._end = self._from + spec.seconds

    def run(self) -> Outcome:
        """Send for as long as the spec says, and wait for the last answers."""
        bundle = tls.load_bundle(Path(self._spec.bundle))
        options = channel.client_options(self._spec.server_name)
        credentials = client_credentials(bundle)
        with grpc.secure_channel(self._spec.address, credentials, options) as line:
            stream = client.stream(line, verbs.WORKER_STREAM, self._messages())
            for message in stream:
                self._take(message)
                if time.monotonic() > self._end and (
                    not self._meant or time.monotonic() > self._end + _DRAIN_S
                ):
                    break
        return self.outcome

    def _messages(self) -> Iterator[worker_pb2.ToWorker]:
        yield worker_pb2.ToWorker(hello=hello("eais-overload"))
        yield worker_pb2.ToWorker(hold=[self._spec.session])
        batches = self._closed() if self._spec.callers else self._open()
        made = inputs()
        for batch in batches:
            yield worker_pb2.ToWorker(runs=[self._call(number, made) for number in batch])
        # The stream stays open for what is under way.
        with self._more:
            self._more.wait_for(lambda: not self._meant, _DRAIN_S)

    def _call(self, number: int, made: Sequence[object]) -> worker_pb2.Run:
        return worker_pb2.Run(
            call_id=number,
            instance=self._spec.instance,
            epoch=self._spec.epoch,
            session=self._spec.session,
            inputs=made,  # type: ignore[arg-type]
        )

    def _closed(self) -> Iterator[list[int]]:
        while time.monotonic() < self._end:
            with self._more:
                self._more.wait_for(lambda: self._free, 0.1)
                batch = list(self._free)
                self._free.clear()
                self._meant.update(dict.fromkeys(batch, time.monotonic()))
            if batch:
                yield batch

    def _open(self) -> Iterator[list[int]]:
        every_s, next_at = 1 / self._spec.rate, self._begin
        while (now := time.monotonic()) < self._end:
            batch = []
            while next_at <= now:
                self._numbers += 1
                self._meant[self._numbers] = next_at
                self.outcome.offered += next_at >= self._from
                batch.append(self._numbers)
                next_at += every_s
            if batch:
                yield batch
            time.sleep(max(_TICK_S, next_at - time.monotonic()))

    def _take(self, message: worker_pb2.ToClient) -> None:
        now = time.monotonic()
        with self._more:
            for answer in message.answers:
                meant = self._meant.pop(answer.call_id)
                if meant >= self._from:
                    self._count(answer, (now - meant) * 1000)
                if self._spec.callers:
                    self._free.append(answer.call_id)
            self._more.notify()

    def _count(self, answer: worker_pb2.Answer, took_ms: float) -> None:
        error, outcome = answer.error, self.outcome
        if not answer.HasField("error"):
            outcome.latencies_ms.append(took_ms)
        elif error.reason == "BUSY":
            outcome.refused += 1
            outcome.without_push_back += not error.push_back_ms
            outcome.push_back_ms = max(outcome.push_back_ms, error.push_back_ms)
        else:
            outcome.failed[error.reason] = outcome.failed.get(error.reason, 0) + 1


def main() -> None:
    """Run the spec of the command line."""
    spec = Spec(**json.loads(sys.argv[1]))
    if spec.cores:
        os.sched_setaffinity(0, spec.cores)
    print(json.dumps(asdict(Source(spec).run())))


if __name__ == "__main__":
    main()
