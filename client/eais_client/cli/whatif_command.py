"""`eais whatif`: what another policy would have made of the demand that there was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from eais_client.cli.command import Call, Group

if TYPE_CHECKING:
    from eais_client.whatif import ReplayLine

_HEADINGS = ("POLICY", "COST", "OF ORACLE", "LATE %", "SWITCHES/H", "CALLS", "HOURS")


def add_to(group: Group) -> None:
    """Register the command."""
    group.command(
        "whatif",
        examples=[
            "eais whatif --policy knative:0.7 --policy fixed:2:0",
            "eais whatif --from 7d --to 1d --instance ei-7f3a --policy late_target=0.001,min=1",
            "eais whatif --all-tenants --policy ratio_awake_s=600 -o json",
        ],
    )(whatif)


def whatif(
    call: Call,
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="From so long ago on: 90s, 10m, 2h, 1d.")
    ] = "1d",
    until: Annotated[str, typer.Option("--to", metavar="TIME", help="Until so long ago.")] = "0s",
    instance: Annotated[
        str,
        typer.Option("--instance", metavar="EI", help="Of this one; else all.", show_default=False),
    ] = "",
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            metavar="POLICY",
            help="auto, fixed:4:0.25, knative:0.7, hpa:0.7, ray:2:600, with KEY=VALUE,...; "
            "KEY=VALUE,... alone is of auto. Again for another.",
            show_default=False,
        ),
    ] = None,
    all_tenants: Annotated[
        bool, typer.Option("--all-tenants", help="Of all; for operators.", show_default=False)
    ] = False,
) -> None:
    """Say what other policies would have cost, and left late.

    The demand that was recorded of instances whose ratio the pool decides is
    replayed, in a queue, by each policy, as if it had decided then; it knows
    what came before, from a day before the time on. Beside them: what was, and
    who knows the future. Keys of auto: late_target, ratio_change_s,
    ratio_awake_s, min, max, kinds (cpu+gpu), price_cap, attach_s; of
    autoscalers min, max, kinds, attach_s.
    """
    from eais_client.cli.log_lines import duration_s

    times, policies = (duration_s(since), duration_s(until)), tuple(policy or ["auto"])
    if all_tenants:
        with call.operator() as operator:
            lines = operator.what_if(*times, instance, policies)
    else:
        with call.pool() as pool:
            lines = pool.what_if(*times, instance, policies)
    data = {"whatif": [_data(line, lines) for line in lines]}
    shown = lines if call.printer.wide else [line for line in lines if not line.instance]
    call.printer.answer(data, _table(shown, lines, wide=call.printer.wide))


def _over_oracle(line: ReplayLine, lines: Sequence[ReplayLine]) -> float | None:
    """Its cost, in that of who knows the future; None if that is nothing."""
    from eais_client.whatif import ORACLE

    best = (each.cost for each in lines if (each.policy, each.instance) == (ORACLE, line.instance))
    cost = next(best, 0.0)
    return line.cost / cost if cost else None


def _data(line: ReplayLine, lines: Sequence[ReplayLine]) -> dict[str, object]:
    return {
        **asdict(line),
        "cost_over_oracle": _over_oracle(line, lines),
        "late_percent": line.late_percent,
        "switches_per_hour": line.switches_per_hour,
    }


def _row(line: ReplayLine, lines: Sequence[ReplayLine]) -> list[str]:
    over = _over_oracle(line, lines)
    return [
        line.policy,
        f"{line.cost:.4f}",
        "-" if over is None else f"{over:.2f}",
        f"{line.late_percent:.3f}",
        f"{line.switches_per_hour:.1f}",
        f"{line.calls:.0f}",
        f"{line.seconds / 3600:.2f}",
    ]


def _table(shown: Sequence[ReplayLine], lines: Sequence[ReplayLine], *, wide: bool) -> list[str]:
    from eais_client.cli.table import table

    rows = [_row(line, lines) for line in shown]
    if not wide:
        return table(_HEADINGS, rows)
    named = [[line.instance or "all", *row] for line, row in zip(shown, rows, strict=True)]
    return table(("INSTANCE", *_HEADINGS), named)
