"""The listener's simulated boards: each a process of its own, started by exec, ended with us."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eais.device_type import WHOLE_MILLI
from eais.errors import make_error
from eais_server.devices.fpga import framing
from eais_server.devices.fpga.client import Management
from eais_server.devices.fpga.image import RegionSize, ShellVersion
from eais_server.process import worker_environment

BOARD_PROGRAM: Final = (sys.executable, "-I", "-m", "eais_server.devices.fpga")
END_TIMEOUT_S: Final = 5.0


_SHELL: Final = ShellVersion(1, 0)
_REGION: Final = RegionSize(luts=400_000, dsps=2_000, bram_kib=24_000)


@dataclass(frozen=True, slots=True)
class BoardSpec:
    """What a simulated board is.

    Attributes:
        device: its id, such as "fpga0".
        trust: files of the public keys (PEM, P-256) whose images it takes.
        memory_mib: of the board; each region's share may have its part of it.
        regions: into which a whole device can be divided.
        threads: that a run of a region has, of the host's.

    Raises:
        ValueError: for another number of regions.
    """

    device: str
    trust: tuple[Path, ...] = ()
    shell: ShellVersion = _SHELL
    region: RegionSize = _REGION
    regions: int = 2
    memory_mib: int = 1024
    threads: int = 1

    def __post_init__(self) -> None:
        if self.regions < 1 or WHOLE_MILLI % self.regions:
            raise ValueError(f"{self.regions} regions: equal parts of {WHOLE_MILLI} milli-devices")


class SimulatedBoard:
    """A board's process, and its management function.

    Started on the main thread alone: it dies with the thread that started it.

    Raises:
        RemoteError: PROCESS_FAILED.
    """

    def __init__(
        self,
        spec: BoardSpec,
        environ: Mapping[str, str],
        *,
        log_fd: int = 2,
        program: Sequence[str] = BOARD_PROGRAM,
    ) -> None:
        self.spec = spec
        self._environment = worker_environment(environ)
        self._log_fd, self._program = log_fd, program
        self._process, self.management = self._start()

    def _start(self) -> tuple[subprocess.Popen[bytes], Management]:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("boards are started on the main thread alone")
        with ExitStack() as undo:
            near, far = framing.make_pair()
            undo.callback(near.close)
            with far:
                try:
                    process = _started(
                        self.spec, far, self._environment, self._log_fd, self._program
                    )
                except OSError as error:
                    why = error.strerror or "unknown"
                    raise make_error("PROCESS_FAILED", f"a board can't start: {why}") from error
            undo.pop_all()
        return process, Management(near)

    def restart(self) -> None:
        """Another process in the place of one that has ended, and what it had is gone.

        Raises:
            RemoteError: PROCESS_FAILED.
        """
        fresh = self._start()
        self.management.close()
        self._process, self.management = fresh

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether the process is no more."""
        return self._process.poll() is not None

    def connect(self, region: int, share: str) -> socket.socket:
        """A worker's end of the user function of a region, for a share; as `open_user`."""
        near, far = framing.make_pair()
        with far:
            try:
                self.management.open_user(region, share, far)
            except BaseException:
                near.close()
                raise
        return near

    def close(self) -> None:
        """End the board, and wait until it has."""
        self.management.close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _started(
    spec: BoardSpec,
    end: socket.socket,
    environment: Mapping[str, str],
    log_fd: int,
    program: Sequence[str],
) -> subprocess.Popen[bytes]:
    flags: dict[str, Sequence[object]] = {
        "--management-fd": [end.fileno()],
        "--parent-pid": [os.getpid()],
        "--device": [spec.device],
        "--shell": [spec.shell],
        "--region": spec.region,
        "--regions": [spec.regions],
        "--memory-mib": [spec.memory_mib],
        "--threads": [spec.threads],
    }
    words = [text for flag, values in flags.items() for text in (flag, *map(str, values))]
    trust = [text for path in spec.trust for text in ("--trust", str(path))]
    return subprocess.Popen(
        [*program, *words, *trust],
        cwd="/",
        env=dict(environment),
        pass_fds=(end.fileno(),),
        stdin=subprocess.DEVNULL,
        stdout=log_fd,
        stderr=log_fd,
        # A Ctrl-C at a listener in the foreground is the listener's to handle.
        start_new_session=True,
    )
