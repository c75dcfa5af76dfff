"""The options that say beside whom an instance is to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from eais.neighbours import Neighbours

SpreadOption = Annotated[
    str,
    typer.Option(
        "--spread",
        metavar="GROUP",
        help="One of a group of your instances, each on a back-end of its own as far as there are.",
        show_default=False,
    ),
]
NearOption = Annotated[
    str,
    typer.Option(
        "--near",
        metavar="EI",
        help="On the back-end of that instance of yours, if there is room.",
        show_default=False,
    ),
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Of --spread and --near: be refused rather than placed otherwise.",
        show_default=False,
    ),
]


def neighbours_of(spread: str, near: str, strict: bool) -> Neighbours:
    """What was said; raises as `Neighbours.checked`."""
    from eais.neighbours import Neighbours

    return Neighbours.checked(spread, near, strict)
