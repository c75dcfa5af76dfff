"""What load was asked for, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from eais_client.load.brain.plan import Spacing
from eais_client.load.report.amounts import amount, plural

_SPACINGS: Final = {Spacing.POISSON.value: "Poisson", Spacing.CONSTANT.value: "evenly"}


def load_words(load: Mapping[str, Any]) -> str:
    """Of a document's `load`: "8 callers, 10 s after 1 s of warming up"."""
    return f"{_asked(load)}, {_lasting(load)}"


def _asked(load: Mapping[str, Any]) -> str:
    if load.get("kind") == "closed":
        return plural(int(load.get("callers") or 0), "caller")
    if "moments" in load:
        return f"{plural(_count(load['moments']), 'request')} of a trace"
    return f"{_rates(load)}, {_spacing(load)}"


def _spacing(load: Mapping[str, Any]) -> str:
    spacing = str(load.get("spacing", ""))
    if spacing == Spacing.GAMMA:
        return f"gamma with burst factor {amount(load.get('burst'))}"
    return _SPACINGS.get(spacing, "")


def _rates(load: Mapping[str, Any]) -> str:
    stretches = load.get("stretches")
    if not isinstance(stretches, Sequence):
        return f"{plural(_count(stretches), 'stretch', 'stretches')} of rates"
    rates = [each.get(end, 0.0) for each in stretches for end in ("from_per_s", "to_per_s")]
    if not rates:
        return "nothing"
    low, high = min(rates), max(rates)
    if low == high:
        return f"{amount(low)}/s"
    return f"{amount(rates[0])} to {amount(rates[-1])}/s (at most {amount(high)}/s)"


def _lasting(load: Mapping[str, Any]) -> str:
    warm = load.get("warm_s") or 0
    text = f"{amount(load.get('seconds'))} s"
    return f"{text} after {amount(warm)} s of warming up" if warm else text


def _count(entries: object) -> int:
    if isinstance(entries, Mapping):
        return int(entries.get("count", 0))
    return len(entries) if isinstance(entries, Sequence) else 0
