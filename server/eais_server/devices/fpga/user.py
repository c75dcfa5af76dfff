"""The user function of a board: what the worker of one share does with its one region. (Brain)

No request names a region or a share: the socket that it came by was bound to both when it was
opened. Buffers and runs are numbered for each share, so that another's aren't there.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from eais.errors import EaisError, make_error
from eais.rpc.v1 import fpga_pb2
from eais_server.devices.fpga.dma import HostMemory
from eais_server.devices.fpga.packing import pack, unpack
from eais_server.devices.fpga.shell import REGION_TABLE, RegionEvent, RegionState
from eais_server.devices.fpga.state import (
    Action,
    Board,
    Compute,
    Reply,
    Result,
    Role,
    Run,
    Slot,
    error_message,
    parsed,
)

MAX_WAIT_MS: Final = 60_000
MAX_VALUES_BYTES: Final = 4 << 20
"""Of an input, what isn't the bytes of its tensors: the board reads it between two requests."""

_NO_DMA: Final = "a DMA transfer failed"
_Request: TypeAlias = fpga_pb2.UserRequest
_Reply: TypeAlias = fpga_pb2.UserReply
_Verb: TypeAlias = Callable[[Board, Slot, _Request, float], list[Action]]


def on_request(board: Board, slot: Slot, data: bytes, now: float) -> list[Action]:
    """A request came by the socket of a region's share."""
    board.shell = board.shell.at(now)
    try:
        kind, request = parsed(data, _Request, fpga_pb2.ManagementRequest, "management")
        return VERBS[kind](board, slot, request, now)
    except EaisError as error:
        return [_refusal(slot, error)]


def computed(board: Board, slot: Slot, ticket: int, result: Result, now: float) -> list[Action]:
    """A run was computed; it is over when its stated time is, too."""
    slot.landed(ticket)
    run = slot.run
    if run is None or run.ticket != ticket or run.answer is not None:
        # Reset meanwhile, or loaded anew.
        return []
    run.result = result
    return at(board, slot, now)


def at(board: Board, slot: Slot, now: float) -> list[Action]:
    """Time went on: a run may be over, or who waits for it waits no more."""
    run = slot.run
    if run is None:
        return []
    if run.answer is None and run.result is not None and run.finishes_at <= now:
        _finish(board, slot, run, run.result, now)
    return _answered(slot, run, now)


def next_change(slot: Slot) -> float | None:
    """When `at` has something to do."""
    run = slot.run
    if run is None or run.answer is not None:
        return None
    times = [run.finishes_at] if run.result is not None else []
    return min([*times, *([] if run.waits_until is None else [run.waits_until])], default=None)


def end_run(slot: Slot, error: EaisError) -> list[Action]:
    """Whatever runs there has failed."""
    run = slot.run
    if run is None or run.answer is not None:
        return []
    run.answer = error
    return _answered(slot, run, run.started_at)


def _finish(board: Board, slot: Slot, run: Run, result: Result, now: float) -> None:
    board.shell = board.shell.done(slot.number)
    busy_us = int((now - run.started_at) * 1e6)
    slot.registers.busy_us += busy_us
    board.busy_us += busy_us
    try:
        if isinstance(result, EaisError):
            raise result
        run.answer = _put(slot, run, result)
        slot.registers.runs += 1
    except EaisError as error:
        run.answer = error
        slot.registers.failed += 1
    run.result = None


def _put(slot: Slot, run: Run, result: list[tuple[str, Any]]) -> fpga_pb2.Done:
    if run.output is None:
        raise make_error("DEVICE_LOST", "the share ended before its run")
    packed = pack(result)
    room = run.output.device
    if packed.size > len(room):
        raise make_error(
            "OUTPUT_TOO_LARGE",
            f"the output has {packed.size} bytes, its buffer {len(room)}",
            metadata={"need": str(packed.size)},
        )
    packed.put(room)
    crc32 = zlib.crc32(room[: packed.size])
    if fpga_pb2.GARBAGE in slot.faults:
        room[packed.size - 1] ^= 1
    slot.registers.bytes_out += packed.size
    return fpga_pb2.Done(values_bytes=packed.values_bytes, output_bytes=packed.size, crc32=crc32)


def _answered(slot: Slot, run: Run, now: float) -> list[Action]:
    """The reply to who waits, if there is one to give."""
    if run.waits_until is None:
        return []
    if run.answer is None and now < run.waits_until:
        return []
    run.waits_until = None
    if isinstance(run.answer, EaisError):
        return [_refusal(slot, run.answer)]
    return [Reply(slot.number, _Reply(done=run.answer or fpga_pb2.Done(running=True)))]


def _describe(board: Board, slot: Slot, request: _Request, now: float) -> list[Action]:
    return [Reply(slot.number, _Reply(signature=_role(board, slot).signature))]


def _allocate(board: Board, slot: Slot, request: _Request, now: float) -> list[Action]:
    made: list[int] = []

    def host(size: int) -> HostMemory:
        fd, memory = board.host_memory(size)
        made.append(fd)
        return memory

    number = slot.buffers.add(request.allocate.bytes, host)
    return [Reply(slot.number, _Reply(number=number), made[0])]


def _free(board: Board, slot: Slot, request: _Request, now: float) -> list[Action]:
    slot.buffers.find(request.free.buffer)
    _require_quiet(board, slot)
    slot.give_back([slot.buffers.remove(request.free.buffer)])
    return [Reply(slot.number, _Reply(number=request.free.buffer))]


def _write(board: Board, slot: Slot, request: _Request, now: float) -> list[Action]:
    asked = request.write
    host, device = slot.buffers.part(asked.buffer, asked.offset, asked.bytes)
    # What a run looks at must not change meanwhile: it was checked before.
    _require_quiet(board, slot)
    _require_dma(board, slot)
    device[:] = host
    slot.registers.bytes_in += asked.bytes
    return [Reply(slot.number, _Reply(number=asked.buffer))]


def _read(board: Board, slot: Slot, request: _Request, now: float) -> list[Action]:
    asked = request.read
    host, device = slot.buffers.part(asked.buffer, asked.offset, asked.bytes)
    _require_quiet(board, slot)
    _require_dma(board, slot)
    host[:] = device
    return [Reply(slot.number, _Reply(number=asked.buffer))]


def _start(board: Board, slot: Slot, request: _Request, now: float) -> list[Action]:
    asked = request.start
    output = slot.buffers.find(asked.output)
    _, given = slot.buffers.part(asked.input, 0, asked.input_bytes)
    role = _role(board, slot)
    _require_quiet(board, slot)
    image = board.region(slot).image
    if image is None or image.digest != asked.image:
        raise make_error("IMAGE_MISSING", "the region holds another image than the one meant")
    if asked.values_bytes > MAX_VALUES_BYTES:
        raise make_error("INPUT_SIZE", f"an input has at most {MAX_VALUES_BYTES} bytes of values")
    # Where they lie: nobody writes there until the run is over.
    values = unpack(given, asked.values_bytes, lambda data: data)
    feed = dict(values)
    if len(feed) != len(values):
        raise make_error("INPUT_DUPLICATE", "an input is given twice")
    seconds = image.header.service.seconds(_rows(role, feed))
    board.shell = board.shell.start(slot.number)
    slot.runs += 1
    slot.tickets += 1
    slot.run = Run(slot.tickets, slot.runs, output, now, now + seconds)
    reply = Reply(slot.number, _Reply(number=slot.runs))
    if fpga_pb2.HANG in slot.faults:
        return [reply]
    slot.in_flight[slot.tickets] = []
    return [reply, Compute(slot.number, slot.tickets, role, feed, tuple(asked.outputs))]


def _wait(board: Board, slot: Slot, request: _Request, now: float) -> list[Action]:
    run, asked = slot.run, request.wait
    if run is None or run.number != asked.run:
        raise make_error("NOT_FOUND", "the share has no such run")
    run.waits_until = now + min(asked.timeout_ms, MAX_WAIT_MS) / 1000
    return at(board, slot, now)


def _status(board: Board, slot: Slot, request: _Request, now: float) -> list[Action]:
    return [Reply(slot.number, _Reply(status=board.state_of(slot, now)))]


def _role(board: Board, slot: Slot) -> Role:
    """What is loaded; raises DEVICE_LOST or WRONG_STATE."""
    region = board.region(slot)
    if region.state is RegionState.FAULTED:
        raise make_error("DEVICE_LOST", f"the region is faulted: {region.fault}")
    if slot.role is None or region.state not in (RegionState.READY, RegionState.RUNNING):
        raise make_error("WRONG_STATE", f"the region is {region.state}")
    return slot.role


def _require_quiet(board: Board, slot: Slot) -> None:
    if board.region(slot).state is RegionState.RUNNING:
        raise make_error("WRONG_STATE", "the region is running")


def _require_dma(board: Board, slot: Slot) -> None:
    """Transfers work; else the region is faulted from now on, and DEVICE_LOST."""
    region = board.region(slot)
    if region.state is RegionState.FAULTED:
        raise make_error("DEVICE_LOST", f"the region is faulted: {region.fault}")
    if fpga_pb2.DMA in slot.faults:
        if REGION_TABLE.allows(region.state, RegionEvent.FAIL):
            board.shell = board.shell.fail(slot.number, _NO_DMA)
        raise make_error("DEVICE_LOST", f"the region is faulted: {_NO_DMA}")


def _rows(role: Role, feed: Mapping[str, Any]) -> int:
    """Of the role's first input; 1 for what has none."""
    value = feed.get(role.signature.inputs[0].name) if role.signature.inputs else None
    return int(value.shape[0]) if isinstance(value, np.ndarray) and value.ndim else 1


def _refusal(slot: Slot, error: EaisError) -> Reply:
    return Reply(slot.number, _Reply(error=error_message(error)))


VERBS: Final[Mapping[str, _Verb]] = {
    "describe": _describe,
    "allocate": _allocate,
    "free": _free,
    "write": _write,
    "read": _read,
    "start": _start,
    "wait": _wait,
    "status": _status,
}
"""Each kind of `UserRequest`."""
