"""How a load test ends: by signals before its time, and with what is said and written of it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eais.errors import ConfigError, UsageError
from eais_client.cli.command import Call
from eais_client.cli.signals import told_by_signals

if TYPE_CHECKING:
    from pathlib import Path

    from eais_client.load.result import LoadTestResult

EXIT_MISSED = 1
"""A condition of `--fail-if` was met."""
EXIT_INTERRUPTED = 130
_NEEDED = {"hdrh": "hdrhistogram", "plotly": "plotly", "yaml": "PyYAML"}


def check_installed() -> None:
    """Raise NOT_INSTALLED if what a load test needs beside a front-end isn't here."""
    missing = [each for name, each in _NEEDED.items() if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            "NOT_INSTALLED",
            f"eais loadtest needs {' and '.join(missing)}",
            hint="pip install 'eais[loadtest]'",
        )


def check_report(report: Path | None) -> None:
    """Raise NOT_FOUND if there is no folder for it: before the test, not after it."""
    if report is not None and not report.absolute().parent.is_dir():
        raise UsageError("NOT_FOUND", f"--report {report}: there is no folder to write it in")


@contextmanager
def ended_once(stop: Callable[[], None], begun: Callable[[], bool]) -> Iterator[None]:
    """The first Ctrl-C calls `stop`, so that what there is is told; a second ends the program.

    As does the first while nothing has begun that could be told of.
    """
    felt = [0]

    def end() -> None:
        felt[0] += 1
        if felt[0] > 1 or not begun():
            raise KeyboardInterrupt
        stop()

    with told_by_signals(end):
        yield


def tell_result(call: Call, result: LoadTestResult, report: Path | None) -> int:
    """Write the report, then answer: who reads the answer finds it. The exit code."""
    from eais_client.load.report.csv_rows import headings, rows
    from eais_client.load.report.page import page
    from eais_client.load.report.words import lines

    printer = call.printer
    if report is not None:
        try:
            report.write_text(page(result), "utf-8")
        except OSError as error:
            raise UsageError("ARGUMENT", f"--report {report}: {error.strerror}") from None
        printer.note(f"report: {report}")
    if printer.csv:
        printer.table_of(headings(result), rows(result))
    else:
        printer.answer(result.data(), lines(result, printer.paint, printer.width))
    for text in result.missed:
        printer.note(f"failed: {text}")
    if result.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_MISSED if result.missed else 0
