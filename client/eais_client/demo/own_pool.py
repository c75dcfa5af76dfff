"""A pool for the demo alone: its own folder, contexts and processes, all gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from eais_client.cli.local_pool import LocalPool, PoolPlace, RunningPool, UpOptions
from eais_client.cli.outside import Outside
from eais_client.cli.processes import Process
from eais_client.cli.progress import Progress
from eais_client.demo.leftovers import family, files_under, still_running
from eais_client.demo.result import LeftBehind

NAME = "demo"
_ENDING = (signal.SIGTERM, signal.SIGHUP)


@dataclass
class OwnPool:
    """The demo's pool while it runs, and what it left when it had ended."""

    folder: Path
    environ: Mapping[str, str]
    running: RunningPool
    _family: list[Process] = field(default_factory=list)

    def left_behind(self) -> LeftBehind:
        """Asked after the end: processes that ran at the end and still do, files still there."""
        return LeftBehind(still_running(self._family), files_under(self.folder))

    def remember_processes(self) -> None:
        """Note which processes there are now."""
        self._family = family(self.running.process.pid)


def environ_in(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with all that EAIS keeps in `folder`, and no setting of the user's own pools."""
    foreign = {name: value for name, value in environ.items() if not name.startswith("EAIS_")}
    own = {"EAIS_CONFIG_DIR": str(folder / "config"), "EAIS_STATE_DIR": str(folder / "state")}
    return foreign | own


@contextmanager
def own_pool(outside: Outside, progress: Progress, *, keep: bool) -> Iterator[OwnPool]:
    """Bring up a pool in a temporary folder; with `keep` it stays, else nothing does."""
    folder = Path(tempfile.mkdtemp(prefix="eais-demo-"))
    environ = environ_in(folder, outside.environ)
    place = PoolPlace.find(NAME, environ)
    pool = LocalPool(place, replace(outside, environ=environ))
    kept = False
    try:
        with ended_by_signals():
            found = OwnPool(folder, environ, pool.up(UpOptions(), progress))
            yield found
            found.remember_processes()
            kept = keep
    finally:
        if not kept:
            with undisturbed():
                pool.down()
                shutil.rmtree(folder)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit in the block, so that what it made is taken down."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    with _handlers(_ENDING, end):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """No signal that people send interrupts the block: taking down takes a moment."""
    with _handlers((signal.SIGINT, *_ENDING), signal.SIG_IGN):
        yield


@contextmanager
def own_environ(environ: Mapping[str, str]) -> Iterator[None]:
    """`os.environ` is `environ` in the block: sessions find their context there."""
    before = dict(os.environ)
    _put(environ)
    try:
        yield
    finally:
        _put(before)


def _put(environ: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environ)


_Handler = Callable[[int, FrameType | None], None] | signal.Handlers


@contextmanager
def _handlers(numbers: tuple[signal.Signals, ...], handler: _Handler) -> Iterator[None]:
    before = [(number, signal.signal(number, handler)) for number in numbers]
    try:
        yield
    finally:
        for number, old in before:
            signal.signal(number, old)
