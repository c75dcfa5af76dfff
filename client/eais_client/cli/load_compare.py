"""`eais loadtest compare`: what differs between two load tests beyond noise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from eais_client.cli.command import Call, Group

if TYPE_CHECKING:
    from eais_client.load.brain.noise import Comparison, Judged

EXIT_WORSE: Final = 1
_HEADINGS: Final = ("FIGURE", "A", "B", "B ÷ A", "INTERVAL", "VERDICT", "SEES")
_COLOURS: Final = {"better": "green", "worse": "red"}


def add_to(group: Group) -> None:
    """Register the command."""
    group.command(
        "compare",
        context=False,
        examples=[
            "eais loadtest compare before.json after.json",
            "eais loadtest compare before.json after.json --fail-if-worse -o json",
        ],
    )(compare)


def compare(
    call: Call,
    a: Annotated[Path, typer.Argument(metavar="A", help="A result, of `-o json`.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="A later one.")],
    anyway: Annotated[
        bool,
        typer.Option(
            "--anyway", help="Compare though something else was asked.", show_default=False
        ),
    ] = False,
    fail_if_worse: Annotated[
        bool,
        typer.Option("--fail-if-worse", help="End with 1 if any figure is.", show_default=False),
    ] = False,
) -> int:
    """Say what differs between two load tests beyond noise.

    Each figure has its ratio with an interval, made of what the tests' seconds,
    or rounds, were like: 95 % sure for all of them together. SEES is the least
    difference that so long a test shows.
    """
    from eais_client.cli.load_ending import check_installed

    check_installed()
    from eais_client.load.brain import noise
    from eais_client.load.result import read_result

    found = noise.compare(read_result(a).data(), read_result(b).data(), anyway=anyway)
    call.printer.answer(found.data(), _lines(call, found))
    return EXIT_WORSE if fail_if_worse and found.worse else 0


def _lines(call: Call, found: Comparison) -> list[str]:
    from eais_client.load.report.amounts import harmless

    lines = [call.printer.paint(harmless(text), "yellow") for text in found.differs]
    pairs = dict.fromkeys((each.target, each.phase) for each in found.judged)
    for target, phase in pairs:
        mine = [each for each in found.judged if (each.target, each.phase) == (target, phase)]
        lines += [*([""] if lines else []), harmless(f"{target}, {phase}")]
        lines += _table(call, mine)
    return [*lines, *(harmless(text) for text in found.noted), _summary(found)]


def _table(call: Call, judged: list[Judged]) -> list[str]:
    from eais_client.cli.table import table

    rows = [_row(each) for each in judged]
    head, *shown = table(_HEADINGS, rows, call.printer.width)
    painted = [
        call.printer.paint(line, _COLOURS[each.verdict]) if each.verdict in _COLOURS else line
        for line, each in zip(shown, judged, strict=True)
    ]
    return [head, *painted, *_reasons(judged)]


def _reasons(judged: list[Judged]) -> list[str]:
    """What is said of figures, each thing once."""
    said: dict[str, list[str]] = {}
    for each in judged:
        said.setdefault(each.said, []).append(each.figure)
    said.pop("", None)
    return [
        f"{'all figures' if len(names) == len(judged) else ', '.join(names)}: {text}"
        for text, names in said.items()
    ]


def _row(each: Judged) -> list[str]:
    from eais_client.load.report.amounts import amount

    interval = "" if each.low is None else f"{amount(each.low)} to {amount(each.high)}"
    sees = "" if each.sees is None else f"{each.sees * 100:.2g} %"
    values = (amount(each.a), amount(each.b), amount(each.ratio))
    return [each.figure, *values, interval, each.verdict.value, sees]


def _summary(found: Comparison) -> str:
    counts = {name: sum(each.verdict == name for each in found.judged) for name in _COLOURS}
    unknown = sum(each.verdict == "unknown" for each in found.judged)
    if unknown == len(found.judged):
        return "Nothing can be said of any figure."
    found_out = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    of_others = f"; of {unknown} nothing can be said" if unknown else ""
    return f"{found_out or 'Nothing differs beyond noise'}{of_others}."
