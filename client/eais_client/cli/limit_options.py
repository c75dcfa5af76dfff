"""What `attach` takes about how long that lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from eais.binding_limits import BindingLimits
    from eais_client.instances import Bound

TtlOption = Annotated[
    str,
    typer.Option(
        "--ttl",
        metavar="TIME",
        help="Detach it after so long: 90s, 30m, 8h, 2d.",
        show_default=False,
    ),
]
BudgetOption = Annotated[
    float,
    typer.Option(
        "--budget",
        metavar="COST",
        help="Detach it when so much was charged for it, as prices are counted.",
        show_default=False,
    ),
]
IdleOption = Annotated[
    str,
    typer.Option(
        "--idle-detach",
        metavar="TIME",
        help="Detach it after so long without a call.",
        show_default=False,
    ),
]


def limits_of(ttl: str, budget: float, idle_detach: str) -> BindingLimits:
    """What was said; raises as `BindingLimits.checked`."""
    from eais.binding_limits import BindingLimits
    from eais.errors import UsageError
    from eais_client.cli.log_lines import duration_s

    if budget < 0:
        raise UsageError("ARGUMENT", f"budget is above 0, not {budget:g}")
    times = [duration_s(text) if text else 0.0 for text in (ttl, idle_detach)]
    for name, text, seconds in zip(("ttl", "idle-detach"), (ttl, idle_detach), times, strict=True):
        if text and not seconds:
            raise UsageError("ARGUMENT", f"--{name} is above 0, not {text}")
    return BindingLimits.checked(times[0], budget, times[1])


def bound_rows(bound: Bound) -> list[tuple[str, str]]:
    """The rows of `eais describe`."""
    limits, rows = bound.limits, []
    if limits.ttl_s:
        rows.append(("Time left", _left(bound.time_left_s, limits.ttl_s)))
    if limits.budget:
        rows.append(("Budget", f"{bound.spent:.4g} of {limits.budget:g} spent"))
    if limits.idle_s:
        rows.append(("Idle", f"detached in {_left(bound.idle_left_s, limits.idle_s)} of no call"))
    return rows


def bound_data(bound: Bound | None) -> dict[str, object] | None:
    """The same for programs; seconds."""
    if bound is None:
        return None
    limits = bound.limits
    return {
        "ttl_s": limits.ttl_s or None,
        "time_left_s": bound.time_left_s,
        "budget": limits.budget or None,
        "spent": bound.spent,
        "idle_s": limits.idle_s or None,
        "idle_left_s": bound.idle_left_s,
    }


def _left(left_s: float | None, all_s: float) -> str:
    from datetime import timedelta

    return str(timedelta(seconds=round(all_s if left_s is None else left_s)))
