"""Where the metrics of an embedded pool's programs are, as they write it down."""

from __future__ import annotations

import json
from pathlib import Path

from eais.telemetry.places import PLACE_FILE

_PROGRAMS = ("manager", "listener")


def metrics_places(state_dir: Path) -> dict[str, str]:
    """Program to "ADDRESS:PORT", of those that have said it."""
    found = {program: _place(state_dir / program / PLACE_FILE) for program in _PROGRAMS}
    return {program: place for program, place in found.items() if place}


def _place(path: Path) -> str:
    try:
        place = json.loads(path.read_text())
        return f"{place['address']}:{place['port']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
