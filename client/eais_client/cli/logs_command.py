"""`eais logs`: what the programs of a pool on this machine have said."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eais_client.cli.command import Call, Group
from eais_client.cli.pool_commands import StateDirOption

if TYPE_CHECKING:
    from eais_client.cli.log_lines import LogLine, Wanted

LOOK_EVERY_S = 0.2
LINES = 100
_COLOURS = {"warning": "yellow", "error": "red", "critical": "red"}


class Level(StrEnum):
    """How bad a line is, at least."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def add_to(group: Group) -> None:
    """Register `eais logs`."""
    group.command(
        "logs",
        context=False,
        examples=[
            "eais logs",
            "eais logs listener --follow",
            "eais logs ei-7f3a --since 10m",
            "eais logs manager --level warning --lines 20",
        ],
    )(logs)


def logs(
    call: Call,
    source: Annotated[
        str,
        typer.Argument(
            metavar="WHOSE",
            help="manager, listener, supervisor, or what they say of an instance, ei-….",
            show_default=False,
        ),
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes.", show_default=False)
    ] = False,
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="TIME", help="Of the last 90s, 10m, 2h, 1d.", show_default=False
        ),
    ] = "",
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines",
            "-n",
            metavar="N",
            min=0,
            help=f"The last N; else {LINES}, or all with --since.",
            show_default=False,
        ),
    ] = None,
    level: Annotated[Level, typer.Option("--level", help="At least this bad.")] = Level.DEBUG,
    grep: Annotated[
        str,
        typer.Option(
            "--grep", metavar="PATTERN", help="Where this is found, a regular expression."
        ),
    ] = "",
    name: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="NAME",
            help="The pool or listener, if it was given one.",
            show_default=False,
        ),
    ] = "",
    state_dir: StateDirOption = None,
) -> None:
    """Show the logs of the pool, or listener, on this machine.

    All programs' together, by time; a worker's are the listener's. With -o json
    each line is an object.
    """
    from datetime import UTC, datetime

    from eais_client.cli.log_lines import Wanted, duration_s, pattern_of
    from eais_client.cli.log_places import logs_in, programs_of

    programs, instance = programs_of(source)
    from_s = datetime.now(UTC).timestamp() - duration_s(since) if since else 0.0
    wanted = Wanted(level.value, from_s, instance, pattern_of(grep))
    shown = Logs(logs_in(_folders(call, name, state_dir), programs), wanted)
    _print(call, _last(shown.begin(ended=not follow), _number(lines, since)))
    while follow:
        call.outside.sleep(LOOK_EVERY_S)
        _print(call, shown.more())


class Logs:
    """Some logs as one, by time."""

    def __init__(self, logs: Mapping[str, Path], wanted: Wanted) -> None:
        from eais_client.cli.log_lines import LogParser
        from eais_client.cli.log_tail import LogTail

        self._logs = [(LogTail(log), LogParser(name)) for name, log in logs.items()]
        self._wanted = wanted

    def begin(self, *, ended: bool) -> Iterator[LogLine]:
        """What is there; `ended`: nothing more is asked for, so what isn't whole is shown."""
        return self._merged(
            parser.parse(tail.begin() + (tail.rest() if ended else []))
            for tail, parser in self._logs
        )

    def more(self) -> Iterator[LogLine]:
        """What came since then."""
        return self._merged(parser.parse(tail.more()) for tail, parser in self._logs)

    def _merged(self, several: Iterable[Iterable[LogLine]]) -> Iterator[LogLine]:
        import heapq

        merged = heapq.merge(*several, key=lambda line: line.time)
        return filter(self._wanted.fits, merged)


def _folders(call: Call, name: str, state_dir: Path | None) -> tuple[Path, ...]:
    from eais_client.cli.local_pool import DEFAULT_NAME, PoolPlace
    from eais_client.cli.log_places import folders

    if state_dir is not None:
        return (state_dir.absolute(),)
    environ = call.outside.environ
    return folders(PoolPlace.find(name or DEFAULT_NAME, environ).state_dir, name, environ)


def _number(lines: int | None, since: str) -> int | None:
    return (None if since else LINES) if lines is None else lines


def _last(lines: Iterable[LogLine], number: int | None) -> Iterable[LogLine]:
    return lines if number is None else deque(lines, maxlen=number)


def _print(call: Call, lines: Iterable[LogLine]) -> None:
    printer = call.printer
    for line in lines:
        colour = _COLOURS.get(line.level)
        printer.answer(_data(line), [printer.paint(line.text, colour) if colour else line.text])


def _data(line: LogLine) -> dict[str, object]:
    from datetime import UTC, datetime

    when = datetime.fromtimestamp(line.time, UTC) if line.time else None
    return {
        "time": when.isoformat(timespec="milliseconds") if when else None,
        "program": line.program,
        "level": line.level,
        "text": line.text,
    }
