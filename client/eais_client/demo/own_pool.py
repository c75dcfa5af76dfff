"""A pool for the demo alone: its own folder, contexts and processes, all gone afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from eais_client.cli.local_pool import LocalPool, PoolPlace, RunningPool, UpOptions
from eais_client.cli.outside import Outside
from eais_client.cli.processes import Process
from eais_client.cli.progress import Progress
from eais_client.cli.signals import ended_by_signals, undisturbed
from eais_client.demo.leftovers import family, files_under, still_running
from eais_client.demo.result import LeftBehind

NAME = "demo"


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
    return foreign | own | {"ORT_DISABLE_TELEMETRY": "1"}


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
            found = OwnPool(folder, environ, pool.up(UpOptions(bound=not keep), progress))
            yield found
            found.remember_processes()
            kept = keep
    finally:
        if not kept:
            with undisturbed():
                pool.down()
                shutil.rmtree(folder)


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
