"""The edge of the process: every failure becomes one line and an exit code.

`error: REASON: text (hint)` on standard error; 2 usage, 3 identity, 4 unavailable,
5 failed; 130 for Ctrl-C. A closed standard output is no failure.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable, Sequence
from typing import TextIO

import typer

from eais.errors import ConfigError, EaisError, RemoteError, UsageError
from eais.report import error_line, exit_code
from eais_client.cli.outside import Outside

EXIT_INTERRUPTED = 130
_AGAIN = "run again with --debug"
# click's own base, which typer carries inside since 0.26 and took from click before.
_CLICK_ERROR = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def run(app: Callable[..., object], argv: Sequence[str], outside: Outside) -> int:
    """Run `app` on `argv`; the exit code."""
    debug = "--debug" in argv or bool(outside.environ.get("EAIS_DEBUG"))
    try:
        result = app(list(argv), prog_name="eais", standalone_mode=False, obj=outside)
        outside.stdout.flush()
    except BrokenPipeError:
        return _silence(outside.stdout)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as error:
        # 0: typer's, after completion; 1: typer's, for a closed pipe; others: our own.
        code = error.code if isinstance(error.code, int) else 0
        return _silence(outside.stdout) if code == 1 else code
    except Exception as error:  # noqa: BLE001 - the edge: nothing may leave as a traceback
        _name_stdout(error, outside.stdout)
        return _tell(error, outside.stderr, debug)
    return result if isinstance(result, int) else 0


def as_eais_error(error: Exception) -> EaisError:
    """What `error` is in our words; BUG if we never thought of it."""
    if isinstance(error, EaisError):
        return error
    if isinstance(error, _CLICK_ERROR):
        return _usage(error)
    if isinstance(error, OSError) and error.strerror is not None:
        place = f"{error.filename}: " if error.filename else ""
        return ConfigError("STATE_DIR", f"{place}{error.strerror}")
    if isinstance(error, PermissionError):
        return ConfigError("STATE_DIR", str(error))
    return RemoteError("BUG", f"{type(error).__name__}: {error}", hint=_AGAIN)


def _name_stdout(error: Exception, stdout: TextIO) -> None:
    """Let an error of writing help to standard output say so: it still can't be written."""
    if isinstance(error, OSError) and error.filename is None:
        try:
            stdout.flush()
        except OSError:
            error.filename = "standard output"


def _usage(error: Exception) -> UsageError:
    tell = getattr(error, "format_message", None)
    text = str(tell()) if callable(tell) else str(error)
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "eais"
    return UsageError("ARGUMENT", text, hint=f"see {path} --help")


def _tell(error: Exception, stderr: TextIO, debug: bool) -> int:
    told = as_eais_error(error)
    with contextlib.suppress(OSError):  # where nothing can be said the exit code still says it
        if debug:
            traceback.print_exception(error, file=stderr)
        stderr.write(error_line(told) + "\n")
        stderr.flush()
    return exit_code(told)


def _silence(stdout: TextIO) -> int:
    """Nobody reads on: what is still buffered must not fail at exit."""
    with contextlib.suppress(OSError):  # a stream without a descriptor has no buffer to lose
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
    return 0
