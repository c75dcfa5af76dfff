"""`eais defrag`: instances are moved so that less of what is free is of no use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from eais_client.cli.command import Call, Group

if TYPE_CHECKING:
    from eais_client.cli.progress import Progress
    from eais_client.defrag import Defragmentation, DefragMove

LOOK_EVERY_S = 0.5
MOST = 256
_GOES_ON = "it goes on: `eais defrag --show` shows it, `eais defrag --stop` ends it"


def add_to(group: Group) -> None:
    """Register the command."""
    group.command(
        "defrag",
        examples=["eais defrag --dry-run", "eais defrag", "eais defrag --moves 4 -o json"],
    )(defrag)


def defrag(
    call: Call,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done.", show_default=False)
    ] = False,
    moves: Annotated[
        int,
        typer.Option(
            "--moves",
            metavar="N",
            min=0,
            max=MOST,
            help="At most so many; else all that gain something.",
            show_default=False,
        ),
    ] = 0,
    show: Annotated[
        bool, typer.Option("--show", help="The last one, as far as it is.", show_default=False)
    ] = False,
    stop: Annotated[
        bool,
        typer.Option("--stop", help="Begin no more moves of it.", show_default=False),
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Begin, and return at once.", show_default=False)
    ] = False,
    timeout_s: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0.1,
            help="How long to wait; else until all moves are over.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Move instances together, under calls, to make room.

    Each move is the one that lowers most what of the free devices is of no use
    to what is typically asked for. It goes to devices of the same make, and
    keeps who is to be apart or near. What has changed by its turn is skipped,
    with the reason. Ctrl-C ends the waiting, not the moves: --stop ends those.
    """
    from eais.errors import UsageError
    from eais_client.manager_client import new_op_id

    if dry_run + show + stop > 1:
        raise UsageError("ARGUMENT", "one of --dry-run, --show and --stop, not several")
    with call.operator() as operator:
        if stop:
            found = operator.end_defrag()
        elif dry_run or show:
            found = operator.defrag(moves=moves, dry_run=dry_run, show=show)
        else:
            op_id = new_op_id()
            found = operator.defrag(op_id, moves)
            if not no_wait:
                with call.progress("moving instances") as progress:
                    found = _until_over(
                        call, found, progress, timeout_s, lambda: operator.defrag(op_id, moves)
                    )
    call.printer.answer(_data(found), _lines(call, found))


def _until_over(
    call: Call,
    begun: Defragmentation,
    progress: Progress,
    timeout_s: float | None,
    look: Callable[[], Defragmentation],
) -> Defragmentation:
    """How it ended; raises DEADLINE_EXCEEDED if it hasn't after `timeout_s`."""
    from eais.deadline import NEVER, Deadline
    from eais.errors import DeadlineExceeded

    outside, found = call.outside, begun
    until = NEVER if timeout_s is None else Deadline.after(timeout_s, outside.clock())
    while not found.over:
        progress.step(f"moving instances: {_count(found)}", found.ended, len(found.moves))
        if until.passed(outside.clock()):
            text = f"{_count(found)} after {timeout_s:g} s"
            raise DeadlineExceeded("DEADLINE_EXCEEDED", text, hint=_GOES_ON)
        outside.sleep(LOOK_EVERY_S)
        found = look()
    return found


def _count(found: Defragmentation) -> str:
    return f"{found.ended} of {len(found.moves)} moves are over"


def _data(found: Defragmentation) -> dict[str, object]:
    return {
        "moves": [{**asdict(move), "state": move.state or None} for move in found.moves],
        "lost_before_milli": found.lost_before_milli,
        "lost_after_milli": found.lost_after_milli,
        "rooms": [asdict(room) for room in found.rooms],
        "over": found.over,
        "left_out": list(found.left_out),
    }


def _lines(call: Call, found: Defragmentation) -> list[str]:
    from eais.device_type import devices_text
    from eais_client.cli.table import table

    if not found.moves:
        return ["No move gains anything.", *_left_out(found)]
    headings = ("INSTANCE", "TYPE", "FROM", "TO", "GAIN", "STATE")
    rows = [_row(move) for move in found.moves]
    before, after = found.lost_before_milli / 1000, found.lost_after_milli / 1000
    lines = table(headings, rows, call.printer.width)
    lines += [f"{move.instance} was skipped: {move.why}" for move in found.moves if move.why]
    lines += _left_out(found)
    lines.append(f"lost of free devices: {before:.2f} before, {after:.2f} after")
    return lines + [
        f"most that one host has free of {room.kind}: {devices_text(room.before_milli)} before, "
        f"{devices_text(room.after_milli)} after"
        for room in found.rooms
        if room.before_milli != room.after_milli
    ]


def _left_out(found: Defragmentation) -> list[str]:
    return [f"left out, as they can't be reached: {', '.join(found.left_out)}"][
        : len(found.left_out)
    ]


def _row(move: DefragMove) -> list[str]:
    gain, state = f"{move.gain_milli / 1000:.2f}", move.state or "would move"
    return [move.instance, move.type, move.origin, move.to, gain, state]
