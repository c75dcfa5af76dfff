"""`eais ratio`: what an instance had when, and why."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from eais_client.cli.command import Call, Group
from eais_client.cli.instance_commands import InstanceArgument

if TYPE_CHECKING:
    from eais_client.instance_ratio import InstanceRatio, RatioDecision

_HEADINGS = ("AGE", "REQUESTED", "TARGET", "OBSERVED", "PRICE/H", "CALLS/S", "WAITING", "WHY")


def add_to(group: Group) -> None:
    """Register the command."""
    group.command("ratio", examples=["eais ratio ei-7f3a", "eais ratio ei-7f3a -o json"])(ratio)


def ratio(call: Call, instance: InstanceArgument) -> None:
    """Say what an instance had when of CPU and accelerators.

    Of one whose ratio the pool decides (attach --ratio auto, or type auto with an SLO): each
    decision that asked for something else than the one before, the newest last.
    """
    from eais_client.cli.table import table

    with call.pool() as pool:
        found = pool.describe(instance)
    data: dict[str, object] = {"id": found.id, "type": found.type, "ratio": None}
    if found.ratio is None:
        said = found.policy.ratio.text
        why = f"{said}, as was asked for" if said else f"that of its type, {found.type}"
        call.printer.answer({**data, "fixed": said or None}, [f"{found.id}  its ratio is {why}"])
        return
    lines = [f"{found.id}  {found.type}: {state_text(found.ratio)}"]
    if found.ratio.decisions:
        lines += table(_HEADINGS, [_row(each) for each in found.ratio.decisions])
    call.printer.answer({**data, "ratio": ratio_data(found.ratio), "fixed": None}, lines)


def ratio_data(ratio: InstanceRatio) -> dict[str, object]:
    """For `-o json` and `-o yaml`."""
    return {
        "observed": ratio.observed,
        "asleep": ratio.asleep,
        "decisions": [_data(each) for each in ratio.decisions],
    }


def state_text(ratio: InstanceRatio) -> str:
    """What it has, and what was asked for last."""
    if ratio.asleep:
        return "no worker: the next call wakes it"
    if not ratio.decisions:
        return f"{ratio.observed}; nothing else was needed so far"
    return f"{ratio.observed}; asked for: {ratio.decisions[-1].requested}"


def _data(decision: RatioDecision) -> dict[str, object]:
    return {
        **asdict(decision),
        "weighed": list(decision.weighed),
        "failed": decision.failed or None,
    }


def _row(decision: RatioDecision) -> list[str]:
    why = f"{decision.why}; {decision.failed}" if decision.failed else decision.why
    return [
        age_text(decision.age_s),
        decision.requested,
        decision.target,
        decision.observed,
        f"{decision.cost_per_h:.3g}",
        f"{decision.arrived:.3g}",
        f"{decision.waiting:.3g}",
        why,
    ]


def age_text(seconds: float) -> str:
    """How long ago, as kubectl says it: "42s", "3m", "5h", "2d"."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
