"""What a line of a log says: when, who, how bad; which lines are wanted. (Brain)

Lines are those of `eais.telemetry.logs`, in either form; JSON is read as the text that it would
have been. What begins otherwise, such as a library's own words, goes on from the line before it:
it has that one's time and level, so that both are shown or neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from eais.errors import UsageError

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_NAMES = "|".join(name.upper() for name in LEVELS)
_TIMED = re.compile(
    rf"(?P<time>\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z) (?P<program>\S+)"
    rf"(?: (?P<level>{_NAMES})\b)?"
)
_UNTIMED = re.compile(rf"(?P<level>{_NAMES}) ")
_FAULT = re.compile(r"error: [A-Z][A-Z0-9_]*: ")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line as text; `time` in seconds since 1970, 0 if no line before it says one."""

    text: str
    time: float
    program: str
    level: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are to be shown: all of these must fit.

    Attributes:
        level: at least this, by `LEVELS`.
        since: in seconds since 1970.
        instance: named in the line; "" for all.
    """

    level: str = "debug"
    since: float = 0.0
    instance: str = ""
    pattern: re.Pattern[str] | None = None

    def fits(self, line: LogLine) -> bool:
        """Whether the line is one of them."""
        return (
            line.time >= self.since
            and LEVELS[line.level] >= LEVELS[self.level]
            and self.instance in line.text
            and (self.pattern is None or self.pattern.search(line.text) is not None)
        )


class LogParser:
    """Reads the lines of one program's log, in their order."""

    def __init__(self, program: str) -> None:
        self._last = LogLine("", 0.0, program, "info")

    def parse(self, lines: Iterable[str]) -> Iterator[LogLine]:
        """Each line with what it says, or what the one before it said."""
        for text in lines:
            self._last = self._line(text)
            yield self._last

    def _line(self, text: str) -> LogLine:
        found = _of_json(text) if text.startswith("{") else _of_text(text)
        last = self._last
        time = _seconds(found.get("time"))
        level = (found.get("level") or "").lower()
        if level not in LEVELS:
            level = last.level if time is None else "info"
        return LogLine(
            text=found.get("text") or text,
            time=last.time if time is None else time,
            program=found.get("program") or last.program,
            level=level,
        )


def duration_s(text: str) -> float:
    """Seconds of "90s", "10m", "2h", "1d"; `UsageError` ARGUMENT for anything else."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise UsageError("ARGUMENT", f"{text!r} is not a time such as 90s, 10m, 2h or 1d")
    return float(found[1]) * _UNITS[found[2]]


def pattern_of(text: str) -> re.Pattern[str] | None:
    """The regular expression, None for ""; `UsageError` ARGUMENT if it is none."""
    try:
        return re.compile(text) if text else None
    except re.error as error:
        why = f"{text!r} is no regular expression: {error}"
        raise UsageError("ARGUMENT", why) from None


def _of_text(text: str) -> dict[str, str | None]:
    if found := _TIMED.match(text) or _UNTIMED.match(text):
        return found.groupdict()
    return {"level": "error"} if _FAULT.match(text) else {}


def _of_json(text: str) -> dict[str, str | None]:
    try:
        data = json.loads(text)
    except ValueError:
        return {}
    said = {name: str(value) for name, value in data.items()}
    head = {name: said.pop(name, None) for name in ("time", "program", "level")}
    return {**head, "text": _as_text(head, said)} if "message" in said else head


def _as_text(head: dict[str, str | None], said: dict[str, str]) -> str:
    message, logger = said.pop("message"), said.pop("logger", "-")
    words = [head["time"] or "-", head["program"] or "-", (head["level"] or "-").upper()]
    fields = [f"{name}={value}" for name, value in said.items() if value not in message]
    return " ".join([*words, f"{logger}:", " | ".join(message.splitlines()), *fields])


def _seconds(text: str | None) -> float | None:
    try:
        when = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    if when is None:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
