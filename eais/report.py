"""How an error is told at the edge of a process: one line, one exit code."""

from __future__ import annotations

from eais.errors import EaisError, IdentityError, Unavailable, UsageError

EXIT_USAGE = 2
EXIT_IDENTITY = 3
EXIT_UNAVAILABLE = 4
EXIT_FAILED = 5


def error_line(error: EaisError) -> str:
    """`error: REASON: text (hint)`, always one line."""
    hint = f" ({error.hint})" if error.hint else ""
    return " ".join(f"error: {error.reason}: {error.message}{hint}".split())


def exit_code(error: EaisError) -> int:
    """2 usage, 3 identity, 4 unavailable, 5 failed."""
    match error:
        case UsageError():
            return EXIT_USAGE
        case IdentityError():
            return EXIT_IDENTITY
        case Unavailable():
            return EXIT_UNAVAILABLE
        case _:
            return EXIT_FAILED
