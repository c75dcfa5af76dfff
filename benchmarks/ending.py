"""How a benchmark ends: its figures, what of them is missed, and the exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def ending(figures: Mapping[str, Any], missed: Sequence[str], *, as_json: bool) -> int:
    """Print and return the exit status: 1 if a limit isn't met, else 0.

    `figures` go to standard output, as one object on one line or as a table; each sentence of
    `missed` is a line of standard error.
    """
    if as_json:
        print(json.dumps(figures))
    else:
        width = max(map(len, figures), default=0)
        for name, value in figures.items():
            print(f"{name:{width}} {value}")
    for said in missed:
        print(said, file=sys.stderr)
    return 1 if missed else 0
