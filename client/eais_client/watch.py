"""The Watch: one stream to the manager that tells of this front-end's instances.

It is there for as long as the process is: broken, it is begun again, for ever, and the
data path goes on meanwhile.
"""

from __future__ import annotations

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
from eais_client.dialer import SOFTWARE, Peer
from eais_client.instances import Instance
from eais_client.wire import Load, WatchEvents

REPORT_S = 1.0


class GrpcWatch:
    """A `Watch` with a thread of its own."""

    def __init__(self, peer: Peer, events: WatchEvents, rng: Rng) -> None:
        self._peer = peer
        self._events = events
        self._rng = rng
        self._closed = threading.Event()
        # Of the present stream; None ends it.
        self._wants: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._call: Any = None
        self._thread = threading.Thread(target=self._run, name="eais-watch", daemon=True)
        self._thread.start()

    def want(self, instance: str) -> None:
        """See `Watch`."""
        self._wants.put(instance)

    def close(self) -> None:
        """See `Watch`."""
        self._closed.set()
        self._wants.put(None)
        call = self._call
        if call is not None:
            call.cancel()

    def _run(self) -> None:
        failures = 0
        while not self._closed.is_set():
            failures = 0 if self._watch_once() else failures + 1
            self._closed.wait(RESTART.delay_s(max(1, failures), self._rng))

    def _watch_once(self) -> bool:
        """Watch until the stream breaks; whether it had begun."""
        begun = False
        wants = self._wants = queue.SimpleQueue()
        try:
            call = client.stream(self._peer.channel(), verbs.POOL_WATCH, self._up(wants))
            self._call = call
            if self._closed.is_set():
                call.cancel()
            for message in call:
                begun = True
                self._take(message)
        except (grpc.RpcError, EaisError):
            pass  # nobody waits for the Watch; who needs the pool asks it and hears why
        finally:
            wants.put(None)
        return begun

    def _take(self, message: pool_pb2.WatchDown) -> None:
        if message.HasField("hello"):
            check_version(message.hello)
        elif message.HasField("instance"):
            self._events.instance(Instance.of_message(message.instance))

    def _up(self, wants: queue.SimpleQueue[str | None]) -> Iterator[pool_pb2.WatchUp]:
        yield pool_pb2.WatchUp(hello=hello(SOFTWARE))
        told: dict[str, Load] = {}
        while True:
            try:
                instance = wants.get(timeout=REPORT_S)
            except queue.Empty:
                yield from self._reports(told)
                continue
            if instance is None:
                return
            yield pool_pb2.WatchUp(want=pool_pb2.Want(instance=instance))

    def _reports(self, told: dict[str, Load]) -> Iterator[pool_pb2.WatchUp]:
        """The load of each attachment that had calls since it was last told."""
        for load in self._events.loads():
            if told.get(load.instance, Load(load.instance, 0, 0)) != load:
                told[load.instance] = load
                up = pool_pb2.FrontEndLoad(
                    instance=load.instance,
                    waiting_calls=load.waiting,
                    answered_calls=load.answered,
                    cpu_load=cpu_load(),
                )
                yield pool_pb2.WatchUp(load=up)


def cpu_load() -> float:
    """Load of this machine's CPU cores over the last minute, 0 to 1."""
    return min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
