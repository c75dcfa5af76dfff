"""Figures as people read them, and texts of others made harmless for a terminal."""

from __future__ import annotations

from typing import Final

FAILED: Final = "failed"
"""Instead of a percentile that is one of a request without a right answer."""
_DIGITS = 3


def amount(value: float | None, unknown: str = "-") -> str:
    """With three digits that count, never in powers of ten: 0.0871, 12.3, 1234."""
    if value is None:
        return unknown
    if abs(value) >= 10 ** (_DIGITS - 1):
        return f"{value:.0f}"
    text = f"{value:.{_DIGITS}g}"
    return f"{value:.6f}".rstrip("0") if "e" in text else text


def milliseconds(value: float | None, unknown: str = FAILED) -> str:
    """ "12.3 ms"; `unknown` has no unit."""
    return unknown if value is None else f"{amount(value)} ms"


def per_s(value: float) -> str:
    """ "200/s"."""
    return f"{amount(value)}/s"


def percent(part: float, whole: float) -> str:
    """ "99.5 %"; what isn't all of it is never "100 %", and what isn't nothing never "0 %"."""
    if not whole:
        return "-"
    share = 100 * part / whole
    for digits in (3, 4, 5, 6):
        text = f"{share:.{digits}g}"
        if (text != "100" or part == whole) and (float(text) or not part):
            return f"{text} %"
    return "< 100 %" if share > 1 else "> 0 %"


def megabytes(value: float | None) -> str:
    """ "412 MB", 10^6 bytes."""
    return "-" if value is None else f"{amount(value)} MB"


def plural(count: int, one: str, many: str = "") -> str:
    """ "1 error", "2 errors"."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def harmless(text: str) -> str:
    """On one line and without what a terminal would obey: names and errors are others' words."""
    return "".join(char if char.isprintable() else " " for char in text).strip()
