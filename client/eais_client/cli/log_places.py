"""Where the logs of this machine's pool, or of its listener, are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eais.errors import UsageError
from eais.log_files import older_log
from eais.paths import state_dir

PROGRAMS = ("supervisor", "manager", "listener")
_INSTANCE = "ei-"


def programs_of(source: str) -> tuple[tuple[str, ...], str]:
    """Whose logs `source` means, and of which instance only; "" means everybody's.

    `UsageError` ARGUMENT if it is neither a program nor an instance.
    """
    if source.startswith(_INSTANCE):
        return PROGRAMS, source
    if source and source not in PROGRAMS:
        raise UsageError(
            "ARGUMENT", f"{source!r} has no log", hint="manager, listener, supervisor or ei-…"
        )
    return ((source,) if source else PROGRAMS), ""


def folders(pool: Path, name: str, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where they may be: a pool's state folder `pool`, or that of a listener; `name`: "" unsaid."""
    root = state_dir(environ)
    return (pool, root / "listeners" / name if name else root / "listener")


def logs_in(places: tuple[Path, ...], programs: tuple[str, ...]) -> dict[str, Path]:
    """The logs of the first place that has some, by program.

    `UsageError` NOT_FOUND if there is none.
    """
    for folder in places:
        logs = {name: folder / f"{name}.log" for name in programs}
        found = {name: log for name, log in logs.items() if _is_there(log)}
        if found:
            return found
    raise _nowhere(places, programs)


def _is_there(log: Path) -> bool:
    return log.exists() or older_log(log).exists()


def _nowhere(places: tuple[Path, ...], programs: tuple[str, ...]) -> UsageError:
    return UsageError(
        "NOT_FOUND",
        f"no {' or '.join(programs)} has a log here: nothing in {' or '.join(map(str, places))}",
        hint="run it on the machine of the pool or listener; systemd's are in journalctl",
    )
