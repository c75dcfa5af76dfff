"""How far an instance's answers may be from the CPU provider's in float32, and who may give them.

A precision is what a runtime computes in. What a tolerance doesn't admit is never run for the
instance; what it admits is compared with the reference first (`eais.parity`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from eais.errors import UsageError


class Precision(StrEnum):
    """What a runtime computes in."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"


class Tolerance(StrEnum):
    """What an instance's owner puts up with; each admits what the ones before it do."""

    EXACT = "exact"
    """Bit by bit what onnxruntime's CPU provider answers."""
    FP32 = "fp32"
    """As different kernels round, which compute in float32."""
    BF16 = "bf16"
    INT8 = "int8"

    @classmethod
    def checked(cls, text: str) -> Tolerance:
        """The tolerance of that name; `UsageError` ARGUMENT for anything else."""
        try:
            return cls(text)
        except ValueError:
            known = ", ".join(cls)
            raise UsageError(
                "ARGUMENT", f"a tolerance is one of {known}, not {text[:32]!a}"
            ) from None

    def admits(self, precision: Precision) -> bool:
        """Whether it may be run at all; how near its answers are is another question."""
        return precision in _ADMITTED[self]


_ADMITTED: Final = {
    Tolerance.EXACT: frozenset({Precision.FP32}),
    Tolerance.FP32: frozenset({Precision.FP32}),
    Tolerance.BF16: frozenset({Precision.FP32, Precision.BF16}),
    Tolerance.INT8: frozenset(Precision),
}
