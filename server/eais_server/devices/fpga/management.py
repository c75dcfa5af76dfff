"""The management function of a board: the listener's and the operator's. (Brain)"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from eais.errors import EaisError, make_error
from eais.rpc.v1 import fpga_pb2
from eais_server.devices.fpga import user
from eais_server.devices.fpga.image import Image
from eais_server.devices.fpga.shell import RegionState
from eais_server.devices.fpga.state import (
    MANAGEMENT,
    Action,
    Attach,
    Board,
    Detach,
    Prepare,
    Reply,
    Role,
    Slot,
    Vanish,
    error_message,
    parsed,
)

_SHARE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_Request: TypeAlias = fpga_pb2.ManagementRequest
_Reply: TypeAlias = fpga_pb2.ManagementReply
_Verb: TypeAlias = Callable[[Board, _Request, int | None, float], list[Action]]

TAKES_FD: Final = frozenset({"load", "open_user"})


def on_request(board: Board, data: bytes, fd: int | None, now: float) -> list[Action]:
    """A request came, maybe with a descriptor, which is the action's or else unused."""
    board.shell = board.shell.at(now)
    try:
        kind, request = parsed(data, _Request, fpga_pb2.UserRequest, "user")
        if (fd is not None) is not (kind in TAKES_FD):
            raise make_error("MALFORMED_MESSAGE", f"{kind}: a descriptor that is missing or odd")
        return VERBS[kind](board, request, fd, now)
    except EaisError as error:
        return [_refusal(error)]


def prepared(
    board: Board, number: int, made: tuple[Image, Role] | EaisError, now: float
) -> list[Action]:
    """An image was checked, or refused: it begins to be loaded, or nothing changes."""
    board.shell = board.shell.at(now)
    slot = board.slot(number)
    try:
        if isinstance(made, EaisError):
            raise made
        image, role = made
        board.shell = board.shell.load(number, image, now)
    except EaisError as error:
        return [_refusal(error)]
    slot.role, slot.run = role, None
    return [_region(board, slot, now)]


def _load(board: Board, request: _Request, fd: int | None, now: float) -> list[Action]:
    number = request.load.region
    board.shell.check_idle(number)
    if fd is None:
        raise TypeError("a load has a descriptor")
    return [Prepare(number, fd)]


def _read_state(board: Board, request: _Request, fd: int | None, now: float) -> list[Action]:
    shell = board.shell
    state = fpga_pb2.BoardState(
        shell=fpga_pb2.ShellVersion(**shell.version._asdict()),
        simulated=board.simulated,
        memory_bytes=board.arena.size,
        memory_used_bytes=board.arena.used,
        region_size=fpga_pb2.RegionSize(**shell.size._asdict()),
        regions=[board.state_of(slot, now) for slot in board.slots],
        busy_us=board.busy_us,
    )
    return [Reply(MANAGEMENT, _Reply(board=state))]


def _reset(board: Board, request: _Request, fd: int | None, now: float) -> list[Action]:
    slot = board.slot(request.reset.region)
    board.shell = board.shell.reset(slot.number)
    told = user.end_run(slot, make_error("DEVICE_LOST", "the region was reset"))
    slot.role = None
    slot.faults.clear()
    slot.give_back(slot.buffers.clear())
    return [*told, _region(board, slot, now)]


def _open_user(board: Board, request: _Request, fd: int | None, now: float) -> list[Action]:
    slot, share = board.slot(request.open_user.region), request.open_user.share
    if not _SHARE.fullmatch(share):
        raise make_error("NAME", "that is no share's name")
    if slot.share:
        raise make_error("WRONG_STATE", f"region {slot.number} is another share's")
    if board.region(slot).state is RegionState.RUNNING:
        raise make_error("BUSY", f"region {slot.number} still runs for the share before")
    if fd is None:
        raise TypeError("an open has a descriptor")
    slot.share, slot.run, slot.runs = share, None, 0
    slot.registers = fpga_pb2.Registers()
    return [Attach(slot.number, fd), _region(board, slot, now)]


def _close_user(board: Board, request: _Request, fd: int | None, now: float) -> list[Action]:
    slot = board.slot(request.close_user.region)
    open_now = bool(slot.share)
    user_gone(board, slot)
    detach: list[Action] = [Detach(slot.number)] if open_now else []
    return [*detach, _region(board, slot, now)]


def user_gone(board: Board, slot: Slot) -> None:
    """The share of a region ended, or its worker did: nothing of it is left there."""
    if slot.run is not None:
        slot.run.waits_until = slot.run.output = None
    slot.share = ""
    slot.registers = fpga_pb2.Registers()
    slot.give_back(slot.buffers.clear())


def _inject(board: Board, request: _Request, fd: int | None, now: float) -> list[Action]:
    slot, fault = board.slot(request.inject.region), request.inject.fault
    if not board.simulated:
        raise make_error("PERMISSION_DENIED", "a real board's faults are its own")
    if fault not in fpga_pb2.Fault.values() or fault == fpga_pb2.FAULT_UNSPECIFIED:
        raise make_error("ARGUMENT", "no such fault")
    if fault == fpga_pb2.VANISH:
        return [Vanish()]
    slot.faults.add(fault)
    return [_region(board, slot, now)]


def _region(board: Board, slot: Slot, now: float) -> Reply:
    return Reply(MANAGEMENT, _Reply(region=board.state_of(slot, now)))


def _refusal(error: EaisError) -> Reply:
    return Reply(MANAGEMENT, _Reply(error=error_message(error)))


VERBS: Final[Mapping[str, _Verb]] = {
    "load": _load,
    "read_state": _read_state,
    "reset": _reset,
    "open_user": _open_user,
    "close_user": _close_user,
    "inject": _inject,
}
"""Each kind of `ManagementRequest`."""
