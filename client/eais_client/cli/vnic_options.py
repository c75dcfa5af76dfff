"""The option that says by what driver an instance is reached."""

from __future__ import annotations

from typing import Annotated

import typer

from eais.net.plan import DRIVERS


def vnic_drivers(incomplete: str) -> list[str]:
    """Completion of `--vnic`."""
    return [name for name in DRIVERS if name.startswith(incomplete)]


VnicOption = Annotated[
    str,
    typer.Option(
        "--vnic",
        metavar="DRIVER",
        help="The driver of its virtual NIC: auto, loopback, host, veth, vxlan or wireguard.",
        autocompletion=vnic_drivers,
        show_default="auto",
    ),
]

VnicCapOption = Annotated[
    str,
    typer.Option(
        "--vnic-cap",
        metavar="RATE",
        help="What its virtual NIC carries at most, each way: 100Mbit, 1Gbit, 12MB. bit is a bit "
        "and B a byte, a second; k, M, G and T are powers of 1000.",
        show_default=False,
    ),
]


def driver_of(text: str) -> str:
    """What was said; `UsageError` ARGUMENT for what is no driver."""
    from eais.errors import UsageError

    if text not in ("", *DRIVERS):
        hint = f"one of {', '.join(DRIVERS)}"
        raise UsageError("ARGUMENT", f"--vnic {text[:32]!r} is no driver", hint=hint)
    return text
