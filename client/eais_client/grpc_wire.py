"""The real `Wire`: gRPC over mutual TLS, with the identity of one context."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from eais.instance_policy import RingPolicy
from eais.jitter import JITTER
from eais.rpc import verbs
from eais.rpc.v1 import common_pb2, listener_pb2, pool_pb2
from eais_client.brain.transport import Transport
from eais_client.context import Context
from eais_client.data_stream import GrpcDataStream
from eais_client.dialer import Dialer, Peer, check_process
from eais_client.h2_carrier import H2Carrier
from eais_client.instances import Address, Instance, Worker, workers_of
from eais_client.led_stream import LedStream
from eais_client.manager_client import RENEW_TIMEOUT_S, pool_peer
from eais_client.ring_carrier import RingCarrier
from eais_client.vnic_end import Vnic, VnicEnd
from eais_client.vnic_ends import VnicEnds
from eais_client.watch import GrpcWatch
from eais_client.wire import DataStream, StreamEvents, Timeout, WatchEvents


class GrpcWire:
    """A `Wire`; channels are made when they are first needed."""

    def __init__(self, dialer: Dialer, context: Context, ends: VnicEnds) -> None:
        self._dialer = dialer
        self._ends = ends
        self._pool = pool_peer(dialer, context)
        self._lock = threading.Lock()
        self._listeners: dict[Address, Peer] = {}

    def frontend(self) -> str:
        """See `Wire`."""
        return self._dialer.bundle().identity.name

    def describe(self, instance: str, timeout_s: Timeout) -> Instance:
        """See `Wire`."""
        request = pool_pb2.DescribeRequest(instance=instance)
        reply = self._pool.ask(verbs.POOL_DESCRIBE, request, timeout_s)
        return Instance.of_message(reply.instance)

    def list(self, timeout_s: Timeout) -> tuple[Instance, ...]:
        """See `Wire`."""
        reply = self._pool.ask(verbs.POOL_LIST, pool_pb2.ListRequest(), timeout_s)
        return tuple(Instance.of_message(message) for message in reply.instances)

    def renew(self, request: common_pb2.RenewRequest) -> common_pb2.RenewReply:
        """The next leaf of this front-end, asked for with the present one."""
        return self._pool.ask(verbs.POOL_RENEW, request, RENEW_TIMEOUT_S)

    @property
    def replaced(self) -> int:
        """How many channels of unary and upload verbs took the place of an older one."""
        with self._lock:
            return sum(peer.replaced for peer in (self._pool, *self._listeners.values()))

    def watch(self, events: WatchEvents) -> GrpcWatch:
        """See `Wire`."""
        return GrpcWatch(self._pool, events, JITTER)

    def reach(self, vnic: Vnic, *, again: bool = False) -> None:
        """See `Wire`."""
        self._ends.reach(vnic, again=again)

    def leave(self, end: VnicEnd) -> None:
        """See `Wire`."""
        with self._lock:
            # Dropped, a channel ends with its last call.
            for address in [each for each in self._listeners if each.address == end.peer]:
                del self._listeners[address]
        self._ends.leave(end)

    def open(
        self, listener: Address, request: listener_pb2.OpenRequest, timeout_s: Timeout
    ) -> listener_pb2.OpenReply:
        """See `Wire`."""
        return self._listener(listener).call(verbs.LISTENER_OPEN, request, timeout_s)

    def push(
        self, listener: Address, chunks: Iterable[listener_pb2.PushChunk], timeout_s: Timeout
    ) -> None:
        """See `Wire`."""
        self._listener(listener).upload(verbs.LISTENER_PUSH, chunks, timeout_s)

    def locate(
        self, listener: Address, instance: str, epoch: int, timeout_s: Timeout
    ) -> tuple[Worker, ...]:
        """See `Wire`."""
        request = listener_pb2.LocateRequest(instance=instance, epoch=epoch)
        reply = self._listener(listener).ask(verbs.LISTENER_LOCATE, request, timeout_s)
        return workers_of(reply.workers)

    def stream(
        self,
        number: int,
        worker: Address,
        events: StreamEvents,
        transport: Transport,
        ring: RingPolicy,
    ) -> DataStream:
        """See `Wire`."""
        if transport is Transport.GRPCIO:
            return GrpcDataStream(number, self._dialer.dial(worker), events)
        check_process()
        first = H2Carrier(worker, self._dialer.bundle())
        must = transport is Transport.RING
        if transport is Transport.H2 or (ring is RingPolicy.OFF and not must):
            return LedStream(number, first, events)
        try:
            carrier = RingCarrier(first, must=must, any_user=ring is RingPolicy.ON)
        except OSError:
            first.close()
            raise
        return LedStream(number, carrier, events)

    def close(self) -> None:
        """See `Wire`."""
        with self._lock:
            listeners, self._listeners = list(self._listeners.values()), {}
        for peer in [self._pool, *listeners]:
            peer.close()

    def _listener(self, address: Address) -> Peer:
        with self._lock:
            if address not in self._listeners:
                self._listeners[address] = Peer(
                    self._dialer, address, verbs.LISTENER_GREET, "HOST_UNREACHABLE"
                )
            return self._listeners[address]
