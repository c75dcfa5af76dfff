"""What tests of boards need: keys, images, and a board without a process, clock or threads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from eais import tls
from eais.errors import EaisError
from eais.rpc.v1 import fpga_pb2, listener_pb2, value_pb2
from eais_server.devices.fpga import management, user
from eais_server.devices.fpga.dma import HostMemory
from eais_server.devices.fpga.image import (
    Image,
    RegionSize,
    RoleHeader,
    ServiceTime,
    ShellVersion,
    sign_image,
)
from eais_server.devices.fpga.packing import pack, unpack
from eais_server.devices.fpga.shell import Region, Shell
from eais_server.devices.fpga.state import (
    MANAGEMENT,
    Action,
    Attach,
    Board,
    Compute,
    Detach,
    Prepare,
    Reply,
    Role,
    Vanish,
)

DATASETS = Path(ort.__file__).parent / "datasets"
SHELL = ShellVersion(1, 2)
SIZE = RegionSize(luts=1000, dsps=100, bram_kib=10)
KEY = tls.new_key()
AN_FD = 1_000_000
MANAGEMENT_KINDS = [f.name for f in fpga_pb2.ManagementRequest.DESCRIPTOR.oneofs[0].fields]
USER_KINDS = [f.name for f in fpga_pb2.UserRequest.DESCRIPTOR.oneofs[0].fields]


def public_pem(key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


HEADER = RoleHeader("doubler", bytes(32), ShellVersion(1, 0), ShellVersion(1, 9))


def model_image(name: str, **changes: Any) -> bytes:
    """The file of a signed image of one of onnxruntime's own models."""
    payload = (DATASETS / f"{name}.onnx").read_bytes()
    header = replace(HEADER, name=name, computes=hashlib.sha256(payload).digest(), **changes)
    return sign_image(header, payload, KEY)


def image(name: str = "doubler", load_ms: int = 0, service: tuple[int, int] = (0, 0)) -> Image:
    """One that is checked already, for a board without a process."""
    header = replace(HEADER, name=name, load_ms=load_ms, service=ServiceTime(*service))
    return Image(hashlib.sha256(name.encode()).digest(), header, b"payload")


class Doubler:
    """The role y = 2x."""

    signature = listener_pb2.Signature(
        inputs=[value_pb2.ValueInfo(name="x")], outputs=[value_pb2.ValueInfo(name="y")]
    )

    def run(self, feed: dict[str, Any], outputs: Sequence[str]) -> list[tuple[str, Any]]:
        if "x" not in feed:
            raise EaisError("INPUT_MISSING", "x")
        return [("y", feed["x"] * 2)]


@dataclass
class Plain:
    """The host's side of a buffer, in one process."""

    view: memoryview
    open: bool = True

    def close(self) -> None:
        self.open = False


def request(kind: type, name: str, **fields: Any) -> bytes:
    """A request of that kind, as bytes."""
    made = kind()
    part = getattr(made, name)
    part.SetInParent()
    for key, value in fields.items():
        if isinstance(value, list):
            getattr(part, key).extend(value)
        else:
            setattr(part, key, value)
    data: bytes = made.SerializeToString()
    return data


@dataclass
class Bench:
    """A board whose time stands where it is put, and whose runs wait to be computed."""

    regions: int = 2
    memory: bytearray = field(default_factory=lambda: bytearray(1 << 20))
    simulated: bool = True
    now: float = 0.0
    next_image: tuple[Image, Role] | EaisError = field(default_factory=lambda: (image(), Doubler()))

    def __post_init__(self) -> None:
        shell = Shell(SHELL, SIZE, tuple(Region() for _ in range(self.regions)))
        self.board = Board(shell, memoryview(self.memory), self._host, simulated=self.simulated)
        self.last = 0
        self.hosts: list[Plain] = []
        self.computing: list[Compute] = []
        self.others: list[Action] = []
        self.replies: dict[int, list[Any]] = {n: [] for n in range(-1, self.regions)}

    def _host(self, size: int) -> tuple[int, HostMemory]:
        self.hosts.append(Plain(memoryview(bytearray(size))))
        return AN_FD + len(self.hosts), self.hosts[-1]

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Reply():
                    self.replies[action.to].append(action.message)
                case Compute():
                    self.computing.append(action)
                case Prepare():
                    self.do(
                        management.prepared(self.board, action.region, self.next_image, self.now)
                    )
                case Attach() | Detach() | Vanish():
                    self.others.append(action)

    def at(self, now: float) -> None:
        self.now = now
        self.board.shell = self.board.shell.at(now)
        for slot in self.board.slots:
            self.do(user.at(self.board, slot, now))

    def raw_manage(self, data: bytes, fd: int | None = None) -> fpga_pb2.ManagementReply:
        self.do(management.on_request(self.board, data, fd, self.now))
        (reply,) = self.replies[MANAGEMENT]
        self.replies[MANAGEMENT].clear()
        assert isinstance(reply, fpga_pb2.ManagementReply)
        return reply

    def manage(self, name: str, **fields: Any) -> fpga_pb2.ManagementReply:
        fd = AN_FD if name in management.TAKES_FD else None
        return self.raw_manage(request(fpga_pb2.ManagementRequest, name, **fields), fd)

    def raw_use(self, region: int, data: bytes) -> fpga_pb2.UserReply | None:
        """None: it is answered later."""
        self.do(user.on_request(self.board, self.board.slots[region], data, self.now))
        return self.answer(region)

    def use(self, region: int, name: str, **fields: Any) -> fpga_pb2.UserReply:
        found = self.raw_use(region, request(fpga_pb2.UserRequest, name, **fields))
        assert found is not None
        return found

    def answer(self, region: int) -> fpga_pb2.UserReply | None:
        found = self.replies[region]
        assert len(found) < 2
        return found.pop() if found else None

    def compute(self) -> None:
        """Let the oldest run that waits be computed."""
        job = self.computing.pop(0)
        slot = self.board.slots[job.region]
        try:
            result: Any = job.role.run(job.feed, job.outputs)
        except EaisError as error:
            result = error
        self.do(user.computed(self.board, slot, job.ticket, result, self.now))

    def ready(self, region: int = 0, share: str = "ei-1/1") -> bytes:
        """A role in a region, and a share that has it; the image's digest."""
        self.manage("load", region=region)
        self.manage("open_user", region=region, share=share)
        state = self.use(region, "status").status
        assert state.state == "READY"
        return state.image

    def allocate(self, region: int, size: int = 8192) -> int:
        self.last = self.use(region, "allocate", bytes=size).number
        return self.last

    def start(
        self, region: int, digest: bytes, feed: dict[str, Any], room: int = 8192, **changes: Any
    ) -> fpga_pb2.UserReply:
        """Put an input into new buffers, and ring the doorbell with `changes`."""
        packed = pack(feed.items())
        given = self.allocate(region)
        packed.put(self.hosts[-1].view)
        self.use(region, "write", buffer=given, offset=0, bytes=8192)
        fields: dict[str, Any] = {
            "image": digest,
            "input": given,
            "values_bytes": packed.values_bytes,
            "input_bytes": packed.size,
            "output": self.allocate(region, room),
        }
        return self.use(region, "start", **{**fields, **changes})

    def output(self, region: int, done: fpga_pb2.Done) -> dict[str, Any]:
        """What lies in the buffer that was allocated last."""
        view = self.hosts[-1].view
        self.use(region, "read", buffer=self.last, offset=0, bytes=done.output_bytes)
        return dict(unpack(view[: done.output_bytes], done.values_bytes, bytearray))

    def state(self, region: int) -> fpga_pb2.RegionState:
        return self.manage("read_state").board.regions[region]


def floats(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.float32)
