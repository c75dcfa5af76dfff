"""The Watch: one stream to the manager that tells of this front-end's instances.

It is there for as long as the process is: broken, it is begun again, for ever, and the
data path goes on meanwhile. When the identity was renewed a second stream is begun, and the
first one is ended once the pool has said hello on the second.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Iterator
from typing import Any

import grpc

from eais.backoff import RESTART, Rng
from eais.errors import EaisError
from eais.rpc import client, verbs
from eais.rpc.hello import check_version, hello
from eais.rpc.v1 import pool_pb2
from eais_client.cpu_load import CpuLoad
from eais_client.dialer import SOFTWARE, Peer
from eais_client.instances import Address, Instance
from eais_client.vnic_end import VnicEnd
from eais_client.wire import Load, WatchEvents

REPORT_S = 1.0


class _Line:
    """One stream of the Watch: what is to be said on it, and the call."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        # None ends it.
        self.wants: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.call: Any = None

    def end(self) -> None:
        """End it from this side."""
        self.wants.put(None)
        call = self.call
        if call is not None:
            call.cancel()


class GrpcWatch:
    """A `Watch` with a thread of its own, and another one while its stream is made anew."""

    def __init__(self, peer: Peer, events: WatchEvents, rng: Rng) -> None:
        self._peer = peer
        self._events = events
        self._rng = rng
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._line = _Line(0)
        self._open: set[_Line] = set()
        self._newest = 0
        self.replaced = 0
        self._thread = self._begin(self._line)

    def want(self, instance: str) -> None:
        """See `Watch`."""
        self._line.wants.put(instance)

    def renewed(self) -> None:
        """See `Watch`."""
        with self._lock:
            self._newest += 1
            generation = self._newest
        if not self._closed.is_set():
            with contextlib.suppress(RuntimeError):  # no thread: the old stream goes on
                self._begin(_Line(generation))

    def close(self) -> None:
        """See `Watch`."""
        self._closed.set()
        with self._lock:
            lines = [self._line, *self._open]
        for line in lines:
            line.end()

    def _begin(self, line: _Line) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(line,), name="eais-watch", daemon=True)
        thread.start()
        return thread

    def _run(self, line: _Line) -> None:
        """Watch on `line`, and on others after it, until a newer thread does."""
        failures = 0
        while True:
            failures = 0 if self._watch_once(line) else failures + 1
            self._closed.wait(RESTART.delay_s(max(1, failures), self._rng))
            line = _Line(line.generation)
            if not self._goes_on(line):
                return

    def _goes_on(self, line: _Line) -> bool:
        """Whether the thread of `line` is still wanted; its new line is the Watch's, if it was."""
        with self._lock:
            if line.generation == self._line.generation:
                self._line = line
            return line.generation >= self._line.generation and not self._closed.is_set()

    def _watch_once(self, line: _Line) -> bool:
        """Watch until the stream breaks; whether it had begun."""
        begun = False
        with self._lock:
            self._open.add(line)
        try:
            line.call = client.stream(self._peer.channel(), verbs.POOL_WATCH, self._up(line.wants))
            if self._closed.is_set():
                line.end()
            for message in line.call:
                begun = True
                self._take(line, message)
        except (grpc.RpcError, EaisError):
            pass  # nobody waits for the Watch; who needs the pool asks it and hears why
        finally:
            line.wants.put(None)
            with self._lock:
                self._open.discard(line)
        return begun

    def _take(self, line: _Line, message: pool_pb2.WatchDown) -> None:
        if message.HasField("hello"):
            check_version(message.hello)
            self._take_over(line)
        elif line is self._line:
            # What an older stream had still to tell may be older than what the newer one told.
            self._tell(message)

    def _tell(self, message: pool_pb2.WatchDown) -> None:
        match message.WhichOneof("kind"):
            case "instance":
                self._events.instance(Instance.of_message(message.instance))
            case "reopen":
                at = message.reopen
                end = VnicEnd.of_message(at.net_plan)
                listener = Address.of_message(at.listener)
                self._events.reopen(at.instance, at.epoch, listener, end)
            case "notice":
                said = message.notice
                self._events.notice(said.instance, said.reason, said.message)
            case _:
                pass  # a newer pool's

    def _take_over(self, line: _Line) -> None:
        """The pool said hello on `line`: an older one is ended."""
        with self._lock:
            older = self._line
            if line.generation > older.generation:
                self._line = line
                self.replaced += 1
        if older.generation != line.generation:
            min(older, line, key=lambda each: each.generation).end()

    def _up(self, wants: queue.SimpleQueue[str | None]) -> Iterator[pool_pb2.WatchUp]:
        yield pool_pb2.WatchUp(hello=hello(SOFTWARE))
        told: dict[str, Load] = {}
        cpu = CpuLoad()
        while True:
            try:
                instance = wants.get(timeout=REPORT_S)
            except queue.Empty:
                yield from self._reports(told, cpu)
                continue
            if instance is None:
                return
            yield pool_pb2.WatchUp(want=pool_pb2.Want(instance=instance))

    def _reports(self, told: dict[str, Load], cpu: CpuLoad) -> Iterator[pool_pb2.WatchUp]:
        """The load of each attachment that has calls, or had since it was last told."""
        loads = self._events.loads()
        for gone in told.keys() - {load.instance for load in loads}:
            del told[gone]
        cpu_load = cpu.look()
        for load in loads:
            if load.waiting or told.get(load.instance, Load(load.instance, 0, 0)) != load:
                told[load.instance] = load
                up = pool_pb2.FrontEndLoad(
                    instance=load.instance,
                    waiting_calls=load.waiting,
                    answered_calls=load.answered,
                    cpu_load=cpu_load,
                    cpu_cores=os.cpu_count() or 0,
                )
                yield pool_pb2.WatchUp(load=up)
