"""Bandwidths as people write them: "100Mbit", "12MB"."""

from __future__ import annotations

import re
from typing import Final

from eais.errors import UsageError
from eais.net.plan import MAX_CAP_BYTES_PER_S

LEAST_CAP: Final = 1_000
"""Bytes a second. Of less, a connection isn't even made in the time that it has."""
_RATE: Final = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([kMGT]?)(bit|B)(?:/s)?")
_UNITS: Final = ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"))
_FACTORS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def cap_of(text: str) -> int:
    """Bytes a second of a cap such as "100Mbit", "1Gbit" or "12MB", rounded down.

    A number and a unit: `bit` or `B`, which is a byte, each a second, with `k`, `M`, `G` or `T`
    before it: powers of 1000. "/s" may follow.

    Raises:
        UsageError: ARGUMENT, it is no such rate, or none from `LEAST_CAP` to `MAX_CAP_BYTES_PER_S`.
    """
    found = _RATE.fullmatch(text.strip())
    if found is None:
        hint = "bit is a bit and B a byte, a second; k, M, G and T are powers of 1000"
        raise UsageError(
            "ARGUMENT", f"a rate is such as 100Mbit or 12MB, not {text[:32]!a}", hint=hint
        )
    size = float(found[1]) * _FACTORS[found[2]]
    return checked_cap(int(size if found[3] == "B" else size / 8))


def checked_cap(bytes_per_s: int) -> int:
    """`bytes_per_s`, if it can be kept; `UsageError` ARGUMENT if not."""
    if not LEAST_CAP <= bytes_per_s <= MAX_CAP_BYTES_PER_S:
        text = f"a cap is {LEAST_CAP} to {MAX_CAP_BYTES_PER_S} bytes a second, not {bytes_per_s}"
        raise UsageError("ARGUMENT", text)
    return bytes_per_s


def rate_text(bytes_per_s: float, digits: int = 6) -> str:
    """As links are measured: "100 Mbit/s", rounded to so many digits."""
    bits = bytes_per_s * 8
    for size, unit in _UNITS:
        if bits >= size:
            return f"{bits / size:.{digits}g} {unit}"
    return f"{bits:.{digits}g} bit/s"
