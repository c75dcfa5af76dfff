"""A network agent that makes nothing, behind a real socket: for tests of those who ask one."""

from __future__ import annotations

import socket
import threading
from collections import defaultdict
from pathlib import Path

from eais.errors import EaisError, make_error
from eais.net.asking import MAX_PACKET_BYTES, NetAgent
from eais.net.messages import key_message, key_of, plan_of, traffic_message
from eais.net.plan import NetPlan, VnicKey
from eais.net.traffic import NO_TRAFFIC, Traffic
from eais.rpc.v1 import net_pb2


class FakeNetAgent:
    """Takes every plan as signed, remembers what it was asked, and fails when it is told to.

    Use it as a context manager: it answers in there.

    Attributes:
        said: what `offer` answers.
        plans: of the ends that are there.
        ports, caps, traffic: of them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said = net_pb2.NetOffer(agent="fake0", underlay="192.0.2.1", mtu=1500)
        self.plans: dict[VnicKey, NetPlan] = {}
        self.ports: dict[VnicKey, list[int]] = {}
        self.caps: dict[VnicKey, int] = {}
        self.traffic: dict[VnicKey, Traffic] = {}
        self._least: dict[VnicKey, int] = defaultdict(int)
        self._faults: dict[str, list[EaisError]] = defaultdict(list)
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._thread = threading.Thread(target=self._serve, name="fake-net-agent")

    def ask(self) -> NetAgent:
        """What asks it."""
        return NetAgent(self.path, timeout_s=5)

    def fail_next(self, op: str, error: EaisError) -> None:
        """The next question of that kind ("create", "connect", ...) is answered with `error`."""
        self._faults[op].append(error)

    def __enter__(self) -> FakeNetAgent:
        self._door.bind(str(self.path))
        self._door.listen()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._door.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._door.accept()
            except OSError:  # it was shut
                return
            with line:
                request = net_pb2.NetRequest.FromString(line.recv(MAX_PACKET_BYTES))
                line.send(self._reply(request).SerializeToString())

    def _reply(self, request: net_pb2.NetRequest) -> net_pb2.NetReply:
        op = request.WhichOneof("kind") or ""
        try:
            if self._faults[op]:
                raise self._faults[op].pop(0)
            return self._answer(op, request)
        except EaisError as error:
            fault = net_pb2.NetFault(
                reason=error.reason, message=error.message, hint=error.hint or ""
            )
            return net_pb2.NetReply(fault=fault)

    def _answer(self, op: str, request: net_pb2.NetRequest) -> net_pb2.NetReply:
        match op:
            case "offer":
                return net_pb2.NetReply(offer=self.said)
            case "create":
                return net_pb2.NetReply(vnic=self._create(request.create))
            case "counters":
                return net_pb2.NetReply(counters=self._counters(key_of(request.counters.key)))
            case "connect":
                key = self._there(request.connect.key)
                self.ports[key] = list(request.connect.ports)
            case "limit":
                self.caps[self._there(request.limit.key)] = request.limit.cap_bytes_per_s
            case "destroy":
                self._destroy(key_of(request.destroy.key), request.destroy.generation)
            case "status":
                return net_pb2.NetReply(status=self._status())
        return net_pb2.NetReply(done=net_pb2.NetDone())

    def _create(self, signed: net_pb2.SignedNetPlan) -> net_pb2.NetVnic:
        plan = plan_of(net_pb2.NetPlan.FromString(signed.plan))
        held = self.plans.get(plan.key)
        least = max(self._least[plan.key], held.generation if held is not None else 0)
        if held is not None and plan.generation == held.generation and plan != held:
            raise make_error("NET_PLAN", "another plan of this generation was carried out")
        if plan.generation < least:
            raise make_error("NET_PLAN", "an older plan than was carried out")
        taken = {other.address for key, other in self.plans.items() if key != plan.key}
        if plan.address in taken:
            raise make_error("WRONG_STATE", "another instance's address")
        self.plans[plan.key] = plan
        return self._vnic(plan)

    def _destroy(self, key: VnicKey, generation: int) -> None:
        held = self.plans.get(key)
        if held is not None and (not generation or held.generation <= generation):
            self._forget(key)
        self._least[key] = max(self._least[key], generation + 1)

    def _counters(self, asked: VnicKey) -> net_pb2.NetTraffic:
        ends = [
            net_pb2.NetEndTraffic(
                instance=key.instance, counters=traffic_message(self._carried(key))
            )
            for key in self.plans
            if key == asked._replace(instance=key.instance)
        ]
        return net_pb2.NetTraffic(ends=ends)

    def _carried(self, key: VnicKey) -> Traffic:
        return self.traffic.get(key, NO_TRAFFIC)

    def _status(self) -> net_pb2.NetStatus:
        return net_pb2.NetStatus(offer=self.said, vnics=map(self._vnic, self.plans.values()))

    def _there(self, message: net_pb2.NetKey) -> VnicKey:
        key = key_of(message)
        if key not in self.plans:
            raise make_error("NOT_FOUND", f"{key.instance} has no vNIC here")
        return key

    def _forget(self, key: VnicKey) -> None:
        for held in (self.plans, self.ports, self.caps, self.traffic):
            held.pop(key, None)

    def _vnic(self, plan: NetPlan) -> net_pb2.NetVnic:
        return net_pb2.NetVnic(
            key=key_message(plan.key),
            driver=plan.driver,
            interface="eaisfake",
            address=plan.address,
            peer=plan.peer,
            generation=plan.generation,
            owner=plan.owner,
            peer_underlay=plan.peer_underlay,
            carried=traffic_message(self._carried(plan.key)),
        )
