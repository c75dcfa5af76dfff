"""What the tests of kernel vNICs have in common: who may run them, and what ran."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Generator
from contextlib import suppress
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
    """Skip them where nobody may make a network namespace."""
    marked = [item for item in items if item.get_closest_marker("net")]
    why = _why_not() if marked else ""
    for item in marked if why else ():
        item.add_marker(pytest.mark.skip(reason=why))


def _why_not() -> str:
    """Why there can be no network namespaces here; "" if there can: a container may be root."""
    if os.geteuid():
        return "needs root, to make network namespaces"
    if not os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK):
        return "needs /proc/sys, which can only be read here"
    name = f"eaistest{os.getpid()}probe"
    probe = ("ip", "-n", name, "link", "add", "eaistest0", "type", "veth", "peer", "eaistest1")
    try:
        for words in (("ip", "netns", "add", name), probe):
            subprocess.run(words, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        return "needs iproute2, to make network namespaces"
    except subprocess.CalledProcessError as error:
        return f"no network namespaces and interfaces here: {error.stderr.strip()}"
    finally:
        with suppress(FileNotFoundError):
            subprocess.run(("ip", "netns", "delete", name), capture_output=True)
    return ""


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
