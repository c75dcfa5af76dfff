"""A simulated board: `python -I -m eais_server.devices.fpga`, by the listener alone.

It ends when its management socket is closed, or with its parent.
"""

from __future__ import annotations

import argparse
import mmap
import os
import signal
import socket
import sys
import time
from functools import partial
from pathlib import Path

import setproctitle

from eais.parent import end_with_parent
from eais.process_limits import keep_keys_and_connections
from eais.telemetry.logs import log_to_stderr
from eais_server.devices.fpga.dma import HostMemory
from eais_server.devices.fpga.image import RegionSize, ShellVersion, public_key, read_image
from eais_server.devices.fpga.memory import SharedMemory
from eais_server.devices.fpga.process import BoardLoop
from eais_server.devices.fpga.role import OnnxRole
from eais_server.devices.fpga.shell import Region, Shell
from eais_server.devices.fpga.state import Board


def main(argv: list[str]) -> int:
    """Be a board until its end; the exit code."""
    given = _parser().parse_args(argv)
    if not end_with_parent(given.parent_pid, signal.SIGKILL):
        return 1
    keep_keys_and_connections()
    setproctitle.setproctitle(f"eais-board ({given.device}, simulated)")
    log_to_stderr("eais-board", given.log_format)
    trusted = [public_key(path.read_bytes()) for path in given.trust]
    size = RegionSize(*given.region)
    shell = Shell(given.shell, size, tuple(Region() for _ in range(given.regions)))
    memory = memoryview(mmap.mmap(-1, given.memory_mib << 20))
    BoardLoop(
        Board(shell, memory, _host_memory),
        socket.socket(fileno=given.management_fd),
        partial(read_image, trusted=trusted),
        partial(OnnxRole, threads=given.threads),
        time.monotonic,
    ).run()
    return 0


def _host_memory(size: int) -> tuple[int, HostMemory]:
    made = SharedMemory.make(size)
    fd, made.fd = made.fd, -1
    return fd, made


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="eais-board")
    parser.add_argument("--management-fd", type=int, required=True)
    parser.add_argument("--parent-pid", type=int, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--trust", type=Path, action="append", default=[])
    parser.add_argument("--shell", type=ShellVersion.parse, required=True)
    parser.add_argument("--region", type=int, nargs=3, required=True)
    parser.add_argument("--regions", type=int, required=True)
    parser.add_argument("--memory-mib", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    return parser


if __name__ == "__main__":
    code = 1
    try:
        code = main(sys.argv[1:])
    finally:
        # A run that goes on must not keep the process: interpreters wait for their threads.
        os._exit(code)
