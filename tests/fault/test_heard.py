"""What is watched around each row is seen when it happens."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from eais.errors import EaisError, make_error
from eais.rpc.status import status_details
from tests.fault.heard import CHECKOUT, Heard
from tests.fault.measures import Measure, measured, more_than


class Failed:
    """A call that ended with an error."""

    def __init__(self, error: EaisError, code: grpc.StatusCode) -> None:
        self._error, self._code = error, code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "refused"

    def trailing_metadata(self) -> list[tuple[str, Any]]:
        return [("grpc-status-details-bin", status_details(self._error))]


def failed(metadata: dict[str, str] | None = None, **fields: Any) -> Failed:
    error = make_error("NAME", fields.get("message", "no name"), hint="x", metadata=metadata)
    return Failed(error, fields.get("code", grpc.StatusCode.INVALID_ARGUMENT))


def test_a_plain_refusal_may_be_heard() -> None:
    heard = Heard({"wren"})
    heard.failed(failed({"limit": "4"}))
    heard.say("error: NAME: '../x' is no name")
    heard.check()


@pytest.mark.parametrize(
    "text",
    [
        f"can't read {CHECKOUT}/x",
        "Traceback (most recent call last):",
        '  File "x", line 1',
        "BUG: the server failed",
        "worker pid 4711 died",
        "pid=4711",
        "/proc/self/environ",
        "/usr/lib/x.so",
        "of the tenant wren",
    ],
)
@pytest.mark.parametrize("how", ["said", "message", "metadata"])
def test_what_must_not_be_said_is_found(text: str, how: str) -> None:
    heard = Heard({"wren"})
    if how == "said":
        heard.say(text)
    else:
        heard.failed(failed({"got": text} if how == "metadata" else None, message=text))
    with pytest.raises(AssertionError):
        heard.check()
    heard.clear()
    heard.check()


@pytest.mark.parametrize("code", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL])
def test_a_status_that_is_nobodys_is_found(code: grpc.StatusCode) -> None:
    heard = Heard()
    heard.failed(failed(code=code))
    with pytest.raises(AssertionError):
        heard.check()


BEFORE = {"eais-listener": Measure(1, "eais-listener", 1000, 10)}


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({}, False),
        ({"descriptors": 9, "private_kib": 10}, False),
        ({"descriptors": 11}, True),
        ({"private_kib": 1001 + (24 << 10)}, True),
        ({"descriptors": None}, False),
    ],
)
def test_a_process_that_has_more_than_before_is_found(changes: dict[str, Any], more: bool) -> None:
    now = {"eais-listener": replace(BEFORE["eais-listener"], **changes)}
    assert bool(more_than(BEFORE, now)) is more


@pytest.fixture
def listener() -> Iterator[subprocess.Popen[bytes]]:
    """A child that is called as a listener is, and opens a descriptor for each line it reads."""
    code = "import os, sys\nprint(flush=True)\nfor _ in sys.stdin: os.pipe(); print(flush=True)"
    with subprocess.Popen(
        ["eais-listener", "-c", code],
        executable=sys.executable,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        yield child


def test_a_descriptor_that_stays_open_is_seen(listener: subprocess.Popen[bytes]) -> None:
    assert listener.stdin
    assert listener.stdout
    listener.stdout.readline()
    before = measured(os.getpid())
    [title] = [title for title in before if title.startswith("eais-listener")]
    assert before[title].pid == listener.pid
    assert not more_than(before, measured(os.getpid()))
    listener.stdin.write(b"\n")
    listener.stdin.flush()
    listener.stdout.readline()
    [(was, now)] = more_than(before, measured(os.getpid()))
    assert (was.descriptors, now.descriptors) == (was.descriptors, (was.descriptors or 0) + 2)
