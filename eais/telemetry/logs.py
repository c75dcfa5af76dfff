"""How every program of EAIS writes its log: a line a record, as text or as JSON.

Text is `TIME PROGRAM LEVEL LOGGER: MESSAGE`, and then the fields that the message doesn't say
itself. JSON is an object with `time`, `program`, `level`, `logger`, `message` and the fields.
Times are UTC. The fields are those of `FIELDS`; `reason` is a word of docs/errors.md, as in
errors and metrics. They come from three places: what the process is (`bind`), what a statement
says (`extra={"host": ...}`), and the errors and instances that are in its message.

The front-end's library writes none of this: it logs to the standard library's loggers, and its
program decides.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Any, Final, Literal, get_args

from eais.errors import EaisError

Format = Literal["text", "json"]
FIELDS: Final = ("reason", "instance", "tenant", "host", "epoch", "worker", "trace_id")

# Of what the process is: workers share their listener's log.
_IN_TEXT: Final = ("instance", "worker")
_INSTANCE: Final = re.compile(r"ei-[a-z0-9]+")
# A line is one line: other line ends than these are escaped by nobody.
_BREAKS: Final = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")


class LineFormatter(logging.Formatter):
    """One line a record, tracebacks too."""

    def __init__(self, program: str, form: Format = "text") -> None:
        super().__init__()
        self._program = program
        self._bound: dict[str, Any] = {}
        self.form = form

    def bind(self, **fields: str | int) -> None:
        """Fields that all lines have from now on, unless a line has its own."""
        self._bound.update(fields)

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        message, fields = record.getMessage(), self._fields(record)
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        if self.form == "json":
            return json.dumps(
                {
                    "time": _time(record),
                    "program": self._program,
                    "level": record.levelname.lower(),
                    "logger": record.name,
                    "message": message,
                    **fields,
                }
            )
        shown = {
            name: value
            for name, value in fields.items()
            if str(value) not in message and (name in _IN_TEXT or name not in self._bound)
        }
        tail = "".join(f" {name}={value}" for name, value in shown.items())
        head = f"{_time(record)} {self._program} {record.levelname} {record.name}:"
        return _BREAKS.sub(" | ", f"{head} {message}{tail}")

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        own = {name: getattr(record, name) for name in FIELDS if getattr(record, name, "")}
        found = {**_said(record), **own}
        # What the process is of is no one else's: another instance's line isn't of its tenant.
        return {**self._bound, **found}


class _Stderr(logging.StreamHandler[Any]):
    """A log that can't be written is no reason to end, nor to say so in it."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def log_to_stderr(program: str, form: Format = "text") -> None:
    """Send this process's log to stderr, from INFO on; in the place of what was set up here."""
    root, handler = logging.getLogger(), _Stderr()
    handler.setFormatter(LineFormatter(program, form))
    root.handlers = [handler, *(each for each in root.handlers if not _is_ours(each))]
    root.setLevel(logging.INFO)


def use_format(form: Format) -> None:
    """Go on as text or as JSON."""
    for formatter in _formatters():
        formatter.form = form


def bind(**fields: str | int) -> None:
    """Fields of all lines of this process from now on, of those in `FIELDS`."""
    for formatter in _formatters():
        formatter.bind(**fields)


def format_of(form: str) -> Format:
    """`form` of the settings; ValueError if it is none."""
    if form not in get_args(Format):
        raise ValueError(f'log_format = {form[:16]!r}: must be "text" or "json"')
    return "json" if form == "json" else "text"


def _is_ours(handler: logging.Handler) -> bool:
    return isinstance(handler.formatter, LineFormatter)


def _formatters() -> list[LineFormatter]:
    found = (handler.formatter for handler in logging.getLogger().handlers)
    return [formatter for formatter in found if isinstance(formatter, LineFormatter)]


def _said(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of what the message is made of: an error's reason, an instance."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    found: dict[str, Any] = {}
    raised = record.exc_info[1] if record.exc_info else None
    for each in (raised, *arguments):
        if isinstance(each, EaisError):
            found["reason"] = each.reason
        elif isinstance(each, str) and _INSTANCE.fullmatch(each):
            found["instance"] = each
    return found


def _time(record: logging.LogRecord) -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{stamp}.{int(record.msecs):03d}Z"
