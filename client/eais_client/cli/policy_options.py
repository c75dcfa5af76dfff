"""The options that say what an instance is to do beside running models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from eais.instance_policy import InstancePolicy
    from eais.neighbours import Neighbours
    from eais.ratio import RatioPolicy

RingOption = Annotated[
    str,
    typer.Option(
        "--ring",
        metavar="auto|on|off",
        help="Who may share memory with its workers on their host: their own user, any, nobody.",
        autocompletion=lambda: ["auto", "on", "off"],
        show_default=False,
    ),
]
SloOption = Annotated[
    str,
    typer.Option(
        "--slo-p99",
        metavar="TIME",
        help="99 of 100 calls should take no longer at the worker: 50ms, 0.5s.",
        show_default=False,
    ),
]
ToleranceOption = Annotated[
    str,
    typer.Option(
        "--tolerance",
        metavar="exact|fp32|bf16|int8",
        help="How far answers may be from onnxruntime's on a CPU: bit by bit, as float32 is "
        "rounded, bf16 or int8. Default: exact for cpu types, else fp32.",
        autocompletion=lambda: ["exact", "fp32", "bf16", "int8"],
        show_default=False,
    ),
]
RateOption = Annotated[
    float,
    typer.Option(
        "--rate",
        metavar="CALLS/S",
        help="Calls a second that are expected, for the choice of auto.",
        show_default=False,
    ),
]
PriceCapOption = Annotated[
    float,
    typer.Option(
        "--price-cap",
        metavar="PRICE/H",
        help="What auto may cost an hour at most, in the unit of the pool's prices.",
        show_default=False,
    ),
]


def policy_of(
    ring: str,
    slo_p99: str,
    tolerance: str,
    rate: float,
    price_cap: float,
    ratio: RatioPolicy,
    neighbours: Neighbours,
    vnic_cap: str,
) -> InstancePolicy:
    """What was said; raises as `InstancePolicy.checked`, `slo_us` and `cap_of`."""
    from eais.instance_policy import InstancePolicy, slo_us
    from eais.net.rate import cap_of

    slo = slo_us(slo_p99) if slo_p99 else 0
    cap = cap_of(vnic_cap) if vnic_cap else 0
    return InstancePolicy.checked(ring, slo, tolerance, rate, price_cap, ratio, neighbours, cap)
