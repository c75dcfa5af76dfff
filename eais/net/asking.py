"""How a host's network agent is asked: a packet each way, on a unix socket."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from google.protobuf.message import DecodeError

from eais.errors import EaisError, make_error
from eais.net.messages import key_message, traffic_of
from eais.net.plan import Side, VnicKey
from eais.net.traffic import Traffic
from eais.rpc.v1 import net_pb2

DEFAULT_SOCKET: Final = Path("/run/eais/net.sock")
MAX_PACKET_BYTES: Final = 64 << 10
TIMEOUT_S: Final = 20.0
"""For one answer: interfaces are made in milliseconds; on a loaded host in seconds."""

T = TypeVar("T")

_AGAIN_S: Final = 0.02
_AWAY: Final = {errno.ENOENT, errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE}


@dataclass(frozen=True, slots=True)
class NetAgent:
    """The agent of this host; each question is a connection of its own.

    Every method raises `ConfigError` NET_AGENT if nobody answers there, or not in time, and what
    the agent says is wrong: NET_PLAN, NETDEV, NET_DRIVER, NOT_FOUND, PERMISSION_DENIED.
    """

    path: Path = DEFAULT_SOCKET
    timeout_s: float = TIMEOUT_S

    def offer(self) -> net_pb2.NetOffer:
        """What this host can do, for whoever asks."""
        return self._ask(net_pb2.NetRequest(offer=net_pb2.NetOfferRequest()), "offer").offer

    def create(self, signed: net_pb2.SignedNetPlan) -> net_pb2.NetVnic:
        """Have the vNIC end that the plan says; repeatable."""
        return self._ask(net_pb2.NetRequest(create=signed), "vnic").vnic

    def connect(self, key: VnicKey, ports: Collection[int]) -> None:
        """Let the front-end reach these TCP ports of a back-end's end, and no others."""
        said = net_pb2.NetConnect(key=key_message(key), ports=sorted(ports))
        self._ask(net_pb2.NetRequest(connect=said), "done")

    def limit(self, key: VnicKey, bytes_per_s: int | None) -> None:
        """Cap a back-end's end, each way; None: no cap."""
        said = net_pb2.NetLimit(key=key_message(key), cap_bytes_per_s=bytes_per_s or 0)
        self._ask(net_pb2.NetRequest(limit=said), "done")

    def counters(self, pool: str, host: str, side: Side) -> dict[str, Traffic]:
        """What each of the asker's ends of that pool, host and side has carried, by instance."""
        said = net_pb2.NetCountersRequest(key=key_message(VnicKey(pool, "", host, side)))
        found: dict[str, Traffic] = {}
        more = True
        while more:
            page = self._ask(net_pb2.NetRequest(counters=said), "counters").counters
            found.update((each.instance, traffic_of(each.counters)) for each in page.ends)
            if more := page.more:
                said.after = self._last(page.ends).instance
        return found

    def destroy(self, key: VnicKey, generation: int = 0) -> None:
        """Take an end away with all that belongs to it; one that isn't there is nothing.

        With a `generation` one of a later plan stays, and no plan up to it brings the end back.
        """
        said = net_pb2.NetDestroy(key=key_message(key), generation=generation)
        self._ask(net_pb2.NetRequest(destroy=said), "done")

    def status(self) -> net_pb2.NetStatus:
        """All that the agent knows of this host, as far as the asker may."""
        said = net_pb2.NetStatusRequest()
        found = page = self._ask(net_pb2.NetRequest(status=said), "status").status
        while page.more:
            said.after.CopyFrom(self._last(page.vnics).key)
            page = self._ask(net_pb2.NetRequest(status=said), "status").status
            found.vnics.extend(page.vnics)
        found.more = False
        return found

    def _ask(self, request: net_pb2.NetRequest, expected: str) -> net_pb2.NetReply:
        packet = request.SerializeToString()
        if len(packet) > MAX_PACKET_BYTES:
            text = f"a question of {len(packet)} bytes, and {MAX_PACKET_BYTES} are the most"
            raise make_error("ARGUMENT", text)
        reply = self._read(self._exchange(packet))
        kind = reply.WhichOneof("kind")
        if kind == "fault":
            fault = reply.fault
            raise make_error(fault.reason, fault.message, hint=fault.hint)
        if kind != expected:
            raise self._silent(f"it answers with {kind or 'nothing'}, not {expected}")
        return reply

    def _last(self, page: Sequence[T]) -> T:
        if not page:
            raise self._silent("it says that there is more, and doesn't say what")
        return page[-1]

    def _exchange(self, packet: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
            try:
                self._connect(line)
                line.send(packet)
                return line.recv(MAX_PACKET_BYTES)
            except TimeoutError:
                raise self._silent(f"no answer within {self.timeout_s:g} s") from None
            except OSError as error:
                raise self._away(error) from None

    def _connect(self, line: socket.socket) -> None:
        """Be let in, within the timeout; a queue that is full is no refusal."""
        until = time.monotonic() + self.timeout_s
        while (left := until - time.monotonic()) > 0:
            line.settimeout(left)
            with suppress(BlockingIOError):  # EAGAIN, at once, whatever the timeout is
                line.connect(os.fspath(self.path))
                return
            time.sleep(min(_AGAIN_S, left))
        raise TimeoutError

    def _read(self, packet: bytes) -> net_pb2.NetReply:
        if not packet:
            raise self._silent("it ended before it answered")
        try:
            return net_pb2.NetReply.FromString(packet)
        except DecodeError:
            raise self._silent("its answer can't be read") from None

    def _away(self, error: OSError) -> EaisError:
        if error.errno == errno.EACCES:
            hint = "run as a user whom it serves: eais net agent --user NAME"
            return make_error("NET_AGENT", f"{self.path}: {error.strerror}", hint=hint)
        if error.errno in _AWAY:
            hint = "start it on this host: eais net agent"
            return make_error("NET_AGENT", f"no network agent answers at {self.path}", hint=hint)
        return self._silent(error.strerror or str(error))

    def _silent(self, why: str) -> EaisError:
        return make_error("NET_AGENT", f"the network agent at {self.path}: {why}")
