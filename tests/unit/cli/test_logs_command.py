"""`eais logs`: merged, filtered, followed across the emptying of a log."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eais.errors import UsageError
from eais.log_files import bound_log
from eais.telemetry.logs import Format, LineFormatter
from eais_client.cli.log_lines import LogParser, Wanted, duration_s, pattern_of
from eais_client.cli.log_tail import LogTail
from eais_client.cli.testing import FakeOutside

MANAGER = """\
2025-11-22T10:00:00Z eais-manager INFO eais_pool.hosts: host local joined
2025-11-22T10:00:04Z eais-manager WARNING eais_pool.owner: ei-0a0b waits
"""
WRITTEN = """\
2025-11-22T10:00:01.500Z eais-listener INFO eais_server.listener.grants: lease of ei-0a0b: held
Traceback of a library
INFO eais_server.worker a worker's own words
{"time": "2025-11-22T10:00:03.000Z", "program": "eais-listener", "level": "ERROR", "message": "no"}
error: PORT: 7443 is in use
"""
# JSON is shown as text.
LISTENER = "".join(
    "2025-11-22T10:00:03.000Z eais-listener ERROR -: no\n" if line.startswith("{") else line
    for line in WRITTEN.splitlines(keepends=True)
)


@pytest.fixture
def folder(eais: FakeOutside) -> Path:
    """A pool's state folder, with logs of two programs."""
    made = eais.home / ".local/state/eais/pools/local"
    made.mkdir(parents=True)
    (made / "manager.log").write_text(MANAGER)
    (made / "listener.log").write_text(WRITTEN)
    return made


def test_logs_are_one_by_time_and_lines_without_one_stay_where_they_were(
    eais: FakeOutside, folder: Path
) -> None:
    manager, listener = MANAGER.splitlines(), LISTENER.splitlines()
    said = eais.run("logs")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [manager[0], *listener, manager[1]]


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (("manager",), [MANAGER.splitlines()[0], MANAGER.splitlines()[1]]),
        (("ei-0a0b",), [LISTENER.splitlines()[0], MANAGER.splitlines()[1]]),
        (("--level", "warning"), [*LISTENER.splitlines()[3:], MANAGER.splitlines()[1]]),
        (("--grep", "host .* joined"), [MANAGER.splitlines()[0]]),
        (("--lines", "1"), [MANAGER.splitlines()[1]]),
        (("--lines", "0"), []),
        (("--since", "10m"), []),
    ],
)
def test_what_is_asked_for_is_shown(
    eais: FakeOutside, folder: Path, argv: tuple[str, ...], shown: list[str]
) -> None:
    assert eais.run("logs", *argv).out.splitlines() == shown


def test_what_was_before_is_read_too_and_since_is_by_the_clock(
    eais: FakeOutside, folder: Path
) -> None:
    now = datetime.now(UTC)
    old, new = (
        f"{now - timedelta(minutes=ago):%FT%TZ} eais-manager INFO x: {ago}" for ago in (9, 1)
    )
    (folder / "manager.log.1").write_text(old + "\n")
    (folder / "manager.log").write_text(new + "\n")
    assert eais.run("logs", "manager").out.splitlines() == [old, new]
    assert eais.run("logs", "manager", "--since", "5m").out.splitlines() == [new]


def test_programs_get_an_object_a_line(eais: FakeOutside, folder: Path) -> None:
    first, last = eais.run("logs", "manager", "-o", "json").out.splitlines()
    assert json.loads(first)["time"] == "2025-11-22T10:00:00.000+00:00"
    assert json.loads(last) == {
        "time": "2025-11-22T10:00:04.000+00:00",
        "program": "eais-manager",
        "level": "warning",
        "text": MANAGER.splitlines()[1],
    }


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (("supervisor",), "NOT_FOUND"),
        (("toaster",), "ARGUMENT"),
        (("--since", "soon"), "ARGUMENT"),
        (("--grep", "("), "ARGUMENT"),
        (("--level", "loud"), "ARGUMENT"),
        (("--name", "other"), "NOT_FOUND"),
    ],
)
def test_what_cant_be_shown_is_named(
    eais: FakeOutside, folder: Path, argv: tuple[str, ...], reason: str
) -> None:
    said = eais.run("logs", *argv)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"error: {reason}: ")


@pytest.mark.parametrize(("place", "name"), [("listener", ""), ("listeners/h2", "h2")])
def test_a_listener_of_its_own_has_logs_too(eais: FakeOutside, place: str, name: str) -> None:
    folder = eais.home / ".local/state/eais" / place
    folder.mkdir(parents=True)
    (folder / "listener.log.1").write_text(WRITTEN)
    named = ("--name", name) if name else ()
    assert eais.run("logs", *named).out == LISTENER
    assert eais.run("logs", "--state-dir", str(folder)).out == LISTENER
    assert eais.run("logs", "manager", *named).code == 2


def test_following_shows_what_comes_until_it_is_interrupted(
    eais: FakeOutside, folder: Path
) -> None:
    comes = "2025-11-22T10:00:05Z eais-manager INFO eais_pool.hosts: host host-2 joined"

    def tick(now: float) -> None:
        if now > 1:
            raise KeyboardInterrupt
        if now < 0.3:
            with (folder / "manager.log").open("a") as log:
                log.write(comes + "\nnot yet whole")

    eais.clock.on_tick = tick
    said = eais.run("logs", "manager", "--follow", "--lines", "1")
    assert said.code == 130
    assert said.out.splitlines() == [MANAGER.splitlines()[1], comes]


def append(log: Path, *lines: str) -> None:
    with log.open("a") as stream:
        stream.writelines(f"{line}\n" for line in lines)


@pytest.mark.parametrize("limit", [1, 30])
def test_nothing_is_missed_or_shown_twice_when_a_log_is_emptied(tmp_path: Path, limit: int) -> None:
    log = tmp_path / "manager.log"
    append(log, "one", "two")
    tail = LogTail(log)
    assert tail.begin() == ["one", "two"]
    append(log, "three", "four")
    if not bound_log(log, min(limit, log.stat().st_size)):
        raise AssertionError("the log isn't long enough")
    append(log, "five and what is longer than all that was there before")
    left = {1: [], 30: ["three", "four"]}[limit]
    assert tail.more() == [*left, "five and what is longer than all that was there before"]
    append(log, "six")
    assert tail.more() == ["six"]
    assert tail.more() == []


def test_of_a_log_that_grew_too_long_what_is_kept_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "manager.log"
    lines = [f"line {number}" for number in range(100)]
    append(log, *lines[:90])
    tail = LogTail(log)
    assert tail.begin() == lines[:90]
    append(log, *lines[90:])
    bound_log(log, 400)
    append(log, "next")
    assert tail.more() == [*lines[90:], "next"]


def test_a_line_is_whole_or_not_shown_yet(tmp_path: Path) -> None:
    log = tmp_path / "manager.log"
    tail = LogTail(log)
    assert tail.begin() == []
    for piece, shown in (("a b", []), ("c\nd", ["a bc"]), ("\n", ["d"])):
        with log.open("a") as stream:
            stream.write(piece)
        assert tail.more() == shown
    assert tail.rest() == []


def test_durations() -> None:
    assert [duration_s(text) for text in ("90s", "1.5m", "2h", "1d")] == [90, 90, 7200, 86400]
    with pytest.raises(UsageError, match="10m"):
        duration_s("10")


def test_json_is_read_as_the_text_that_it_would_have_been() -> None:
    record = logging.makeLogRecord(
        {"name": "eais_pool.hosts", "levelname": "WARNING", "msg": "away", "host": "h2"}
    )
    forms: tuple[Format, Format] = ("text", "json")
    text, data = (LineFormatter("eais-manager", form).format(record) for form in forms)
    assert text.endswith("Z eais-manager WARNING eais_pool.hosts: away host=h2")
    [line] = LogParser("manager").parse([data])
    assert line.text == text
    assert [line] == list(LogParser("manager").parse([text]))


def test_lines_of_all_formats_say_the_same() -> None:
    [line] = LogParser("listener").parse(
        ['{"time": "2025-11-22T10:00:00Z", "level": "warning", "message": "x"}']
    )
    assert (line.program, line.level) == ("listener", "warning")
    [text] = LogParser("listener").parse(["2025-11-22T10:00:00.000Z eais-listener WARNING y: x"])
    assert (text.time, text.level) == (line.time, line.level)
    assert Wanted(level="warning").fits(text)
    assert not Wanted(pattern=pattern_of("z")).fits(text)
    odd = ['{"time": 5}', "{", '{"time": "yesterday"}', "2026-99-99T10:00:00Z eais-listener x"]
    assert [each.time for each in LogParser("listener").parse(odd)] == [0.0] * 4
