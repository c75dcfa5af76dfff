"""A peer's server as a process on one core, from its start to its end."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STARTS_WITHIN_S: Final = 60.0
ENDS_WITHIN_S: Final = 10.0
_LOG_CHARS: Final = 600


@dataclass(frozen=True, slots=True)
class Server:
    """One that answers.

    Attributes:
        pid: its first process, the leader of a group of its own.
        port: of 127.0.0.1, where it is called.
    """

    pid: int
    port: int


@dataclass(frozen=True, slots=True)
class Probe:
    """A request that is answered with 200 once all is ready: a GET, or a POST of `body`."""

    port: int
    path: str
    body: bytes | None = None

    def answered(self) -> bool:
        """Whether it is now."""
        method = "GET" if self.body is None else "POST"
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=STARTS_WITHIN_S)
        with contextlib.closing(line):
            try:
                line.request(method, self.path, self.body)
                return line.getresponse().status == http.client.OK
            except (OSError, http.client.HTTPException):
                return False


@contextlib.contextmanager
def serving(
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    core: int,
    port: int,
    probes: Sequence[Probe],
    log: Path,
) -> Iterator[Server]:
    """Run `argv` on `core` until the end of the context; it and all that it started end then.

    Raises `RuntimeError` with the end of its log if it doesn't answer in time.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **environ},
            cwd=log.parent,
            start_new_session=True,
        )
        try:
            _await(process, probes, log)
            yield Server(process.pid, port)
        finally:
            _end(process)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    with contextlib.ExitStack() as held:
        made = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in made]


def _await(process: subprocess.Popen[bytes], probes: Sequence[Probe], log: Path) -> None:
    until, left = time.monotonic() + STARTS_WITHIN_S, list(probes)
    while time.monotonic() < until and process.poll() is None:
        left = [probe for probe in left if not probe.answered()]
        if not left:
            return
        time.sleep(0.1)
    said = log.read_text(errors="replace")[-_LOG_CHARS:]
    raise RuntimeError(f"{log.stem} didn't come up: {said}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(ENDS_WITHIN_S)
    # What is left of its group: processes of a model, or itself.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
