"""What a network agent answers: a packet to each packet, whatever it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from eais import tls
from eais.errors import EaisError, make_error
from eais.identity import pool_of_ca
from eais.net.asking import MAX_PACKET_BYTES
from eais.net.messages import key_message, key_of, traffic_message
from eais.net.plan import VnicKey
from eais.net.signing import read_plan
from eais.net.traffic import Traffic
from eais.rpc.v1 import net_pb2
from eais_server.net.brain.records import Asker, Held
from eais_server.net.keeper import Keeper
from eais_server.net.surroundings import Interfaces

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)

_PAGE_BYTES: Final = MAX_PACKET_BYTES // 2
"""Of ends in one answer: there is room for the rest of it."""

_MOST_MESSAGE: Final = 2_000
"""Characters of a fault's text."""


class Answers:
    """Answers for one agent. Not for two threads at once.

    Args:
        agent: its name.
        trusted: reads the certificates of the CAs whose managers' plans are carried out, PEM.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        agent: str,
        keeper: Keeper,
        interfaces: Interfaces,
        trusted: Callable[[], bytes],
        clock: Callable[[], float],
    ) -> None:
        self._agent = agent
        self._keeper = keeper
        self._interfaces = interfaces
        self._trusted = trusted
        self._clock = clock

    def reply(self, asker: Asker, packet: bytes) -> bytes:
        """The answer to a packet; never raises an EaisError, nor what a packet could cause."""
        try:
            said = self._answer(asker, _read(packet))
        except EaisError as error:
            if error.reason in ("NET_PLAN", "PERMISSION_DENIED"):
                log.warning("the user %d is refused: %s", asker.uid, error)
            said = _fault(error)
        text = said.SerializeToString()
        if len(text) > MAX_PACKET_BYTES:
            large = make_error("ARGUMENT", "the answer is larger than a packet may be")
            return _fault(large).SerializeToString()
        return text

    def _answer(self, asker: Asker, request: net_pb2.NetRequest) -> net_pb2.NetReply:
        match request.WhichOneof("kind"):
            case "offer":
                return net_pb2.NetReply(offer=self._offer(asker))
            case "status":
                return net_pb2.NetReply(status=self._status(asker, request.status))
            case "create":
                return self._create(asker, request.create)
            case "counters":
                return net_pb2.NetReply(counters=self._counters(asker, request.counters))
            case "connect":
                ports: Sequence[int] = list(request.connect.ports)
                self._keeper.connect(asker, key_of(request.connect.key), ports)
            case "limit":
                cap = request.limit.cap_bytes_per_s
                self._keeper.limit(asker, key_of(request.limit.key), cap)
            case "destroy":
                gone = request.destroy
                self._keeper.destroy(asker, key_of(gone.key), gone.generation)
            case _:
                raise make_error("ARGUMENT", "the packet asks for nothing that this agent does")
        return net_pb2.NetReply(done=net_pb2.NetDone())

    def _create(self, asker: Asker, signed: net_pb2.SignedNetPlan) -> net_pb2.NetReply:
        plan = read_plan(signed, self._agent, self._trusted(), self._now())
        held = self._keeper.create(asker, plan)
        return net_pb2.NetReply(vnic=self._vnics([held])[0])

    def _offer(self, asker: Asker) -> net_pb2.NetOffer:
        offer = self._interfaces.offer()
        offer.agent = self._agent
        offer.namespace = asker.namespace
        # Or the pool would choose what is refused to this asker.
        if why := self._keeper.hindrance(asker):
            for driver in offer.drivers:
                driver.missing = driver.missing or why
        return offer

    def _status(self, asker: Asker, asked: net_pb2.NetStatusRequest) -> net_pb2.NetStatus:
        trusted = tls.load_certificates(self._trusted(), "the trusted CAs")
        seen = sorted(self._keeper.seen_by(asker), key=lambda held: _order(held.key))
        if asked.HasField("after"):
            after = _order(key_of(asked.after))
            seen = [held for held in seen if _order(held.key) > after]
        vnics, more = _page(self._vnics(seen))
        return net_pb2.NetStatus(
            offer=self._offer(asker),
            vnics=vnics,
            pools=sorted({pool_of_ca(each) for each in trusted}),
            more=more,
        )

    def _counters(self, asker: Asker, asked: net_pb2.NetCountersRequest) -> net_pb2.NetTraffic:
        found = self._keeper.counters(asker, key_of(asked.key))
        by_instance = {key.instance: each for key, each in found.items()}
        ends, more = _page(
            [
                net_pb2.NetEndTraffic(instance=instance, counters=traffic_message(each))
                for instance, each in sorted(by_instance.items())
                if instance > asked.after
            ]
        )
        return net_pb2.NetTraffic(ends=ends, more=more)

    def _vnics(self, ends: Sequence[Held]) -> list[net_pb2.NetVnic]:
        looks = self._keeper.looks(ends)
        carried = self._keeper.carried(ends, looks)
        return [
            _vnic(held, look.mtu if (look := looks.get(held.key)) else 0, carried[held.key])
            for held in ends
        ]

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _order(key: VnicKey) -> tuple[str, ...]:
    return (*key[:-1], key.side.value)


def _page(all_ends: Sequence[M]) -> tuple[Sequence[M], bool]:
    """The first of them, as many as are wanted in one packet, and whether there are others."""
    size = 0
    for count, each in enumerate(all_ends):
        size += each.ByteSize()
        if count and size > _PAGE_BYTES:
            return all_ends[:count], True
    return all_ends, False


def too_large(size: int) -> bytes:
    """The answer to a packet of `size` bytes, which is more than may be."""
    text = f"a packet of {size} bytes, and {MAX_PACKET_BYTES} are the most"
    return _fault(make_error("ARGUMENT", text)).SerializeToString()


def _read(packet: bytes) -> net_pb2.NetRequest:
    try:
        return net_pb2.NetRequest.FromString(packet)
    except DecodeError:
        raise make_error("ARGUMENT", "the packet can't be read") from None


def _fault(error: EaisError) -> net_pb2.NetReply:
    fault = net_pb2.NetFault(
        reason=error.reason, message=error.message[:_MOST_MESSAGE], hint=error.hint or ""
    )
    return net_pb2.NetReply(fault=fault)


def _vnic(held: Held, mtu: int, carried: Traffic) -> net_pb2.NetVnic:
    return net_pb2.NetVnic(
        key=key_message(held.key),
        driver=held.plan.driver,
        interface=held.place.interface,
        address=held.plan.address,
        peer=held.plan.peer,
        mtu=mtu,
        cap_bytes_per_s=held.cap_bytes_per_s,
        uid=held.uid,
        generation=held.plan.generation,
        ports=held.ports,
        owner=held.plan.owner,
        peer_underlay=held.plan.peer_underlay,
        carried=traffic_message(carried),
    )
