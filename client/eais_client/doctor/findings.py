"""What was found, and what explains what. (Brain)

A check that needs another one isn't made when that one has found a problem: one cause is told
once, and what it keeps from being seen is named with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Generic, TypeVar

from eais.errors import EaisError, make_error
from eais.report import exit_code

S = TypeVar("S")


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    PROBLEM = "problem"
    UNKNOWN = "can't tell"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: its name.
        text: what is the case; for a problem what is wrong.
        reason: of a problem, a word of `eais.errors.REASONS`.
        remedy: what to do.
        because: the check whose problem kept this one from being made.
    """

    check: str
    verdict: Verdict
    text: str
    reason: str = ""
    remedy: str = ""
    because: str = ""


def ok(text: str) -> Finding:
    """All is well, and what that means."""
    return Finding("", Verdict.OK, text)


def unknown(text: str, remedy: str = "") -> Finding:
    """It can't be seen from here."""
    return Finding("", Verdict.UNKNOWN, text, remedy=remedy)


def problem(error: EaisError) -> Finding:
    """What `error` says."""
    return Finding("", Verdict.PROBLEM, error.message, error.reason, error.hint)


@dataclass(frozen=True, slots=True)
class Check(Generic[S]):
    """One look at the world; None: it says nothing to this user.

    `needs` names the checks whose problem it would only show again.
    """

    name: str
    look: Callable[[S], Finding | None]
    needs: tuple[str, ...] = ()


def examine(checks: Sequence[Check[S]], scene: S) -> list[Finding]:
    """The findings of all checks, in their order; those without a cause before them are made."""
    found: list[Finding] = []
    for check in checks:
        cause = _cause(check, found)
        if cause == check.name:
            continue  # a closer look at what is known to be wrong
        seen = _skipped(cause) if cause else _looked(check, scene)
        if seen is not None:
            found.append(replace(seen, check=check.name))
    return found


def exit_code_of(findings: Sequence[Finding]) -> int:
    """0 without a problem; else that of the first, which explains most."""
    for finding in findings:
        if finding.verdict is Verdict.PROBLEM:
            return exit_code(make_error(finding.reason, finding.text))
    return 0


def _looked(check: Check[S], scene: S) -> Finding | None:
    try:
        return check.look(scene)
    except EaisError as error:
        return problem(error)


def _cause(check: Check[S], found: Sequence[Finding]) -> str:
    for each in found:
        if each.check in check.needs:
            if each.verdict is Verdict.PROBLEM:
                return each.check
            if each.because:
                return each.because
    return ""


def _skipped(cause: str) -> Finding:
    return Finding("", Verdict.UNKNOWN, f"not before {cause} is mended", because=cause)
