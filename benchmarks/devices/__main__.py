"""What devices are shared and chosen like, measured.

Each section has a module of this folder with `measure() -> figures` and `missed(figures) ->
sentences`; its docstring says what its figures are. `--only SECTION` measures one of them.
`--json` prints all figures as one object on one line. The exit status is 1 if a limit isn't met.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from benchmarks.devices import choosing, failing, moving, precision, shares, turns
from benchmarks.ending import ending


class Section(NamedTuple):
    """A part of this benchmark."""

    measure: Callable[[], dict[str, Any]]
    missed: Callable[[dict[str, Any]], list[str]]


SECTIONS: Final = {
    "choosing": Section(choosing.measure, choosing.missed),
    "faults": Section(failing.measure, failing.missed),
    "move": Section(moving.measure, moving.missed),
    "precision": Section(precision.measure, precision.missed),
    "shares": Section(shares.measure, shares.missed),
    "turns": Section(turns.measure, turns.missed),
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="measure these alone")
    args = parser.parse_args()
    found: dict[str, Any] = {"benchmark": "devices"}
    missed: list[str] = []
    for name in args.only or SECTIONS:
        section = SECTIONS[name]
        figures = section.measure()
        found.update(figures)
        missed += section.missed(figures)
    return ending(found, missed, as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())
