"""`eais doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from eais_client.cli.command import Call, Group

if TYPE_CHECKING:
    from eais_client.cli.printer import Printer
    from eais_client.doctor.findings import Finding

_INDENT = " " * 14


def add_to(group: Group) -> None:
    """Register `eais doctor`."""
    group.command(
        "doctor", examples=["eais doctor", "eais doctor --context team", "eais doctor -o json"]
    )(doctor)


def doctor(call: Call) -> None:
    """Say what is wrong between you and the pool, and what to do.

    One line a check: ok, problem, or can't tell. A problem that explains
    others is told once; what it keeps from being seen is named last. The exit
    code is that of the first problem, 0 without one.
    """
    from eais_client.doctor.checks import look
    from eais_client.doctor.findings import exit_code_of
    from eais_client.doctor.scene import Scene

    processes = call.outside.processes()
    scene = Scene(
        store=call.store(),
        environ=call.outside.environ,
        context_name=call.context_name,
        runs=lambda state_dir: processes.supervisor_of(state_dir) is not None,
        installed=lambda module: find_spec(module) is not None,
    )
    with call.progress("looking"):
        findings = look(scene)
    code = exit_code_of(findings)
    data = {"ok": code == 0, "checks": [_data(finding) for finding in findings]}
    call.printer.answer(data, _lines(findings, call.printer))
    if code:
        raise SystemExit(code)


def _data(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.check,
        "verdict": finding.verdict.value,
        "reason": finding.reason or None,
        "text": finding.text,
        "remedy": finding.remedy or None,
        "because": finding.because or None,
    }


def _lines(findings: Sequence[Finding], printer: Printer) -> list[str]:
    from eais_client.doctor.findings import Verdict

    lines: list[str] = []
    for finding in findings:
        if not finding.because:
            lines += _line(finding, printer)
    for cause in dict.fromkeys(finding.because for finding in findings if finding.because):
        # A check that is made from nearer, once that can be, has one name.
        hidden = dict.fromkeys(each.check for each in findings if each.because == cause)
        lines.append(f"{Verdict.UNKNOWN:<12}  {', '.join(hidden)}: not before {cause} is mended")
    return lines


def _line(finding: Finding, printer: Printer) -> list[str]:
    from eais_client.doctor.findings import Verdict

    colours = {Verdict.OK: "green", Verdict.PROBLEM: "red", Verdict.UNKNOWN: "yellow"}
    verdict = printer.paint(f"{finding.verdict:<12}", colours[finding.verdict])
    reason = f"{finding.reason}: " if finding.reason else ""
    lines = [f"{verdict}  {finding.check}: {reason}{' '.join(finding.text.split())}"]
    if finding.remedy:
        lines.append(f"{_INDENT}{finding.remedy}")
    return lines
