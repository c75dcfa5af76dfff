"""Tenants and their quotas, which an operator makes and sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from eais_client.cli.command import Call, Group, outside_of

if TYPE_CHECKING:
    from eais_client.tenants import QuotaChanges, Tenant


def tenant_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Completion of tenants."""
    from eais_client.cli.completion import complete_tenants

    name = ctx.params.get("context") or ""
    return complete_tenants(outside_of(ctx), str(name), incomplete)


_QUOTAS = "instances=20, operations=1000, gpu=1.5 (devices, in eighths), cpu=unlimited"


WeightOption = Annotated[
    int,
    typer.Option(
        "--weight",
        metavar="N",
        help="Its part of what is waited for in line, against that of others; 1 at first.",
        show_default=False,
    ),
]


def add_to(group: Group) -> None:
    """Register `eais tenant ...`."""
    tenant = Group("tenant", "Tenants and what they may have; for operators.")
    tenant.command(
        "create",
        examples=[
            "eais tenant create acme",
            "eais tenant create acme --quota gpu=1.5 --quota cpu=8",
            "eais tenant create acme --weight 2",
        ],
    )(create)
    tenant.command("list", examples=["eais tenant list", "eais tenant list -o json"])(list_)
    tenant.command(
        "quota",
        examples=["eais tenant quota acme", "eais tenant quota acme gpu=2 cpu=default --weight 2"],
    )(quota)
    group.add(tenant)


def create(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 of a-z 0-9 _ . -")],
    quotas: Annotated[
        list[str] | None,
        typer.Option(
            "--quota",
            metavar="WHAT=LIMIT",
            help=f"What it may have: {_QUOTAS}; again for another.",
            show_default=False,
        ),
    ] = None,
    weight: WeightOption = 0,
) -> None:
    """Make a tenant. What isn't said of its quotas is the pool's configuration."""
    changes = _changes(quotas or [], weight)
    with call.operator() as operator:
        made = operator.create_tenant(name, changes)
    _answer(call, made)


def list_(call: Call) -> None:
    """List the tenants: what each has, of what it may have."""
    with call.operator() as operator:
        found = operator.tenants()
    lines = _table(found, wide=call.printer.wide) if found else ["No tenants."]
    call.printer.answer({"tenants": [tenant_data(one) for one in found]}, lines)


def quota(
    call: Call,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The tenant.", autocompletion=tenant_names)
    ],
    quotas: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHAT=LIMIT",
            help=f"{_QUOTAS}, or cpu=default: as configured.",
            show_default=False,
        ),
    ] = None,
    weight: WeightOption = 0,
) -> None:
    """Change what a tenant may have; without a change, show it.

    What is lowered below what is in use takes nothing away: only what is new
    is refused.
    """
    changes = _changes(quotas or [], weight)
    with call.operator() as operator:
        _answer(call, operator.set_quotas(name, changes))


def tenant_data(tenant: Tenant) -> dict[str, object]:
    """The tenant for `-o json` and `-o yaml`: devices in milli-devices, None is unlimited."""
    from eais_client.tenants import WEIGHT

    quotas = {_key(what): limit for what, limit in tenant.quotas.items() if what != WEIGHT}
    used = {_key(what): amount for what, amount in tenant.used.items()}
    vnic = {
        "network": tenant.vnic_network or None,
        "cap_bytes_per_s": tenant.vnic_cap_bytes_per_s or None,
    }
    said = {"name": tenant.name, "weight": tenant.weight, "quotas": quotas, "used": used}
    return {**said, "vnic": vnic}


def _changes(words: Iterable[str], weight: int) -> QuotaChanges:
    from eais_client.tenants import WEIGHT, QuotaChanges

    return QuotaChanges.parse([*words, *([f"{WEIGHT}={weight}"] if weight else [])])


def _answer(call: Call, tenant: Tenant) -> None:
    call.printer.answer(tenant_data(tenant), _table([tenant], wide=call.printer.wide))


def _table(tenants: Iterable[Tenant], *, wide: bool) -> list[str]:
    from eais_client.cli.table import table
    from eais_client.tenants import KINDS

    whats = ("instances", *KINDS, *(("operations",) if wide else ()))
    more = ("WEIGHT", "VNIC NETWORK", "VNIC CAP") if wide else ()
    rows = [
        [one.name, *(_of(one, what) for what in whats), *_more(one)[: len(more)]] for one in tenants
    ]
    return table(("NAME", *map(str.upper, whats), *more), rows)


def _more(tenant: Tenant) -> tuple[str, str, str]:
    """What few ask for."""
    from eais.net.rate import rate_text

    cap = tenant.vnic_cap_bytes_per_s
    return str(tenant.weight), tenant.vnic_network, rate_text(cap) if cap else ""


def _of(tenant: Tenant, what: str) -> str:
    """What it has of what it may have: "1 of 20", or "1" without a limit."""
    used, limit = tenant.used.get(what, 0), tenant.quotas.get(what)
    shown = _amount(what, used)
    return shown if limit is None else f"{shown} of {_amount(what, limit)}"


def _amount(what: str, number: int) -> str:
    from eais.device_type import WHOLE_MILLI
    from eais_client.tenants import KINDS

    return f"{number / WHOLE_MILLI:g}" if what in KINDS else str(number)


def _key(what: str) -> str:
    from eais_client.tenants import KINDS

    return f"{what}_milli" if what in KINDS else what
