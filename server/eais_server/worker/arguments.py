"""The worker's command line, and the confinement that it asks for.

`eais_server.process.ExecSpawner` writes it. Whoever confines a process as workers are, also
the tests that try to get out, takes the confinement from here.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from eais.telemetry.logs import Format
from eais_server.isolation import IsolationLevel, WorkerConfinement, WorkerLimits
from eais_server.turns.page import Descriptors


@dataclass(frozen=True, slots=True)
class WorkerArguments:
    """What the listener tells a worker when it starts it.

    Attributes:
        control_fd: the inherited control socket.
        page_fd: the inherited memory, see `eais_server.in_flight`.
        counts_fd: the inherited file, see `eais_server.count_page`; None: nobody counts.
        line_fds: inherited sockets to what serves its device, see `eais_server.process.Line`; which
            of them are its, it is told at its adoption.
        turns: inherited, by which it takes turns on a device that it shares, should it be adopted
            onto such.
        ring_fd: the inherited socket where clients come for rings; None: they get none.
        parent_pid: the listener.
        directory: the worker's own, empty.
        level: the isolation level to have.
        secret_roots: what it must not be able to read.
        data_limit_bytes: of memory; None: no limit.
        log_format: of its log.
    """

    control_fd: int
    page_fd: int
    parent_pid: int
    directory: Path
    level: IsolationLevel
    secret_roots: tuple[Path, ...] = ()
    data_limit_bytes: int | None = None
    log_format: Format = "text"
    ring_fd: int | None = None
    counts_fd: int | None = None
    line_fds: tuple[int, ...] = ()
    turns: Descriptors | None = None

    @property
    def confinement(self) -> WorkerConfinement:
        """How the worker is confined."""
        some = [fd for fd in (self.ring_fd, self.counts_fd) if fd is not None]
        return WorkerConfinement(
            work_dir=self.directory,
            parent_pid=self.parent_pid,
            level=self.level,
            keep_fds=(self.control_fd, self.page_fd, *some, *self.line_fds, *(self.turns or ())),
            secret_roots=self.secret_roots,
            limits=WorkerLimits(data_bytes=self.data_limit_bytes),
        )


def parse_arguments(argv: Sequence[str]) -> WorkerArguments:
    """The flags that follow the program; SystemExit when they aren't a worker's."""
    parser = argparse.ArgumentParser(prog="eais-worker")
    parser.add_argument("--control-fd", type=int, required=True, help="the control socket")
    parser.add_argument("--page-fd", type=int, required=True, help="memory shared with it")
    parser.add_argument("--ring-fd", type=int, default=None, help="where rings are asked for")
    parser.add_argument("--counts-fd", type=int, default=None, help="where calls are counted")
    parser.add_argument("--line-fd", type=int, action="append", default=[], help="to its device")
    parser.add_argument("--turn-fd", type=int, action="append", default=[], help="page or bell")
    parser.add_argument("--parent-pid", type=int, required=True, help="the listener")
    parser.add_argument("--dir", type=Path, required=True, help="the worker's own directory")
    parser.add_argument("--level", type=int, choices=(1, 2), required=True, help="isolation")
    parser.add_argument("--secret-root", type=Path, action="append", default=[], help="unreadable")
    parser.add_argument("--data-limit", type=int, default=None, help="bytes of memory")
    parser.add_argument("--log-format", choices=get_args(Format), default="text", help="of its log")
    given = parser.parse_args(argv)
    return WorkerArguments(
        control_fd=given.control_fd,
        page_fd=given.page_fd,
        parent_pid=given.parent_pid,
        directory=given.dir,
        level=given.level,
        secret_roots=tuple(given.secret_root),
        data_limit_bytes=given.data_limit,
        log_format=given.log_format,
        ring_fd=given.ring_fd,
        counts_fd=given.counts_fd,
        line_fds=tuple(given.line_fd),
        turns=Descriptors(*given.turn_fd) if given.turn_fd else None,
    )
