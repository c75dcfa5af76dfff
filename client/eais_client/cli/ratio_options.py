"""What `create` and `attach` take about an instance's ratio of CPU to accelerator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from eais.ratio import RatioPolicy

RatioOption = Annotated[
    str,
    typer.Option(
        "--ratio",
        metavar="auto|CPU:ACC",
        help="CPU to accelerator, of type auto: as the pool finds right, second by second; or so "
        "many CPU workers and so much of accelerators, in devices: 4:0.25.",
        autocompletion=lambda: ["auto", "1:0", "0:1", "4:0.25"],
        show_default=False,
    ),
]
LeastOption = Annotated[
    int,
    typer.Option("--min", metavar="N", help="Of auto: workers at least.", show_default=False),
]
MostOption = Annotated[
    int,
    typer.Option("--max", metavar="N", help="Of auto: workers at most.", show_default=False),
]
KindsOption = Annotated[
    str,
    typer.Option(
        "--kinds",
        metavar="KIND,...",
        help="Of auto: kinds of devices that it may take: cpu,gpu; or shares of that size: "
        "cpu.1-8,gpu.",
        show_default=False,
    ),
]

LateTargetOption = Annotated[
    str,
    typer.Option(
        "--late-target",
        metavar="PART",
        help="Of auto: what part of calls may wait longer than the SLO, or than a second where "
        "that is less: 0.1%.",
        show_default=False,
    ),
]


def ratio_of(text: str, least: int, most: int, kinds: str, late_target: str) -> RatioPolicy:
    """What was said; raises as `RatioPolicy.checked` and `late_part`."""
    from eais.ratio import RatioPolicy, late_part

    words = [word.strip() for word in kinds.split(",")] if kinds else []
    late = late_part(late_target) if late_target else 0.0
    return RatioPolicy.checked(text, least, most, words, late)
