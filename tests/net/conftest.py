"""What the tests of kernel vNICs have in common: who may run them, and what ran."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator
from typing import Final

import pytest

Report = pytest.TestReport
_SHARED: Final = "all"
_ran: Final[Counter[str]] = Counter()
_skipped: Final[Counter[str]] = Counter()


def _driver(item: pytest.Item) -> str:
    marker = item.get_closest_marker("net")
    return str(marker.args[0]) if marker and marker.args else _SHARED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip them where nobody may make an interface."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("net"):
            item.add_marker(pytest.mark.skip(reason="needs root, to make network namespaces"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Report, Report]:
    """Count what ran and what was skipped, by driver."""
    report = yield
    if item.get_closest_marker("net") is not None:
        if report.skipped:
            _skipped[_driver(item)] += 1
        elif report.when == "call":
            _ran[_driver(item)] += 1
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line a driver: `net: veth ran=12 skipped=0`."""
    for driver in sorted({*_ran, *_skipped}):
        terminalreporter.write_line(f"net: {driver} ran={_ran[driver]} skipped={_skipped[driver]}")
