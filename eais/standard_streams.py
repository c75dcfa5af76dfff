"""Standard streams that are closed, full or read by nobody: no process of ours trips over them."""

from __future__ import annotations

import contextlib
import os
import sys

from eais.errors import EaisError
from eais.report import error_line, exit_code

_STANDARD = (0, 1, 2)


def hold_standard_streams() -> None:
    """Open the closed ones of descriptors 0, 1 and 2 on nothing, before anything is opened.

    The next file or socket would get such a number, and what a library writes to standard error
    would go into it.
    """
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is given, and all below are open by now.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def tell(error: EaisError) -> int:
    """Write the error's line to standard error, as far as that can be; the exit code."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(error_line(error) + "\n")
    return leave(exit_code(error))


def leave(code: int) -> int:
    """Make the process's last words go out or be dropped; `code`, to exit with.

    What is still buffered Python would write at exit, and exit with 120 if it can't.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except OSError:
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, stream.fileno())
                os.close(nothing)
    return code
