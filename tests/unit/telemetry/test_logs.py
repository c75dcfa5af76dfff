from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from eais.errors import make_error
from eais.telemetry.logs import (
    LineFormatter,
    bind,
    format_of,
    log_to_stderr,
    use_format,
)


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("eais_pool.hosts", logging.WARNING, "", 0, message, args, None)
    made.created, made.msecs = 1_700_000_000.0, 25.0
    made.__dict__.update(extra)
    return made


REFUSED = make_error("BUSY", "no room")


def test_a_line_of_text_says_when_who_how_bad_and_what() -> None:
    line = LineFormatter("eais-manager").format(record("host %s is lost", "h1"))
    assert line == "2023-11-14T22:13:20.025Z eais-manager WARNING eais_pool.hosts: host h1 is lost"


def test_text_adds_the_fields_that_the_message_does_not_say_itself() -> None:
    formatter = LineFormatter("eais-listener")
    formatter.bind(host="h1")
    line = formatter.format(record("it ends: %s", REFUSED, instance="ei-1", trace_id="ab"))
    assert line.endswith("it ends: BUSY: no room instance=ei-1 trace_id=ab")
    assert formatter.format(record("it ends", reason="BUSY")).endswith("it ends reason=BUSY")
    assert formatter.format(record("%s ends", "ei-1")).endswith("hosts: ei-1 ends")


def test_json_has_the_same_words_as_fields() -> None:
    formatter = LineFormatter("eais-worker", "json")
    formatter.bind(instance="ei-1", tenant="acme", epoch=7, worker=1)
    found = json.loads(formatter.format(record("refused: %s", REFUSED, trace_id="ab")))
    assert found == {
        "time": "2023-11-14T22:13:20.025Z",
        "program": "eais-worker",
        "level": "warning",
        "logger": "eais_pool.hosts",
        "message": "refused: BUSY: no room",
        "reason": "BUSY",
        "instance": "ei-1",
        "tenant": "acme",
        "epoch": 7,
        "worker": 1,
        "trace_id": "ab",
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_record_is_one_line_whatever_is_in_it(form: str) -> None:
    formatter = LineFormatter("p", format_of(form))
    line = formatter.format(record("a\nb\r\nc\x0bd\x85e\u2028f"))
    assert len(line.splitlines()) == 1


def test_a_traceback_is_in_the_line_and_gives_the_reason() -> None:
    formatter = LineFormatter("p")
    try:
        raise REFUSED
    except Exception:  # noqa: BLE001 - any will do
        made = record("BUG: a call raised")
        made.exc_info = sys.exc_info()
    line = formatter.format(made)
    assert "Traceback" in line
    assert " | " in line
    assert "BUSY: no room" in line


@pytest.fixture
def own_log() -> Iterator[None]:
    """This process's log is set up as a program's, and as before again."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    yield
    root.handlers = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("own_log")
def test_a_programs_log_goes_to_stderr_and_may_change_its_form(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_to_stderr("eais-manager")
    log_to_stderr("eais-manager")
    log = logging.getLogger("x")
    log.debug("not wanted")
    log.info("first")
    use_format("json")
    bind(host="h1")
    log.info("second")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("eais-manager INFO x: first")
    assert (json.loads(second)["message"], json.loads(second)["host"]) == ("second", "h1")


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.usefixtures("own_log")
def test_a_disk_that_is_full_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", Full())
        log_to_stderr("eais-manager")
    logging.getLogger("x").error("lost")


def test_there_are_two_forms() -> None:
    assert (format_of("text"), format_of("json")) == ("text", "json")
    with pytest.raises(ValueError, match="log_format = 'xml'"):
        format_of("xml")
