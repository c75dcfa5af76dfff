"""How far a tensor's answers may be from the reference's, by tolerance. (Brain)

Errors are measured against the scale of the whole tensor, not element by element: an element
near zero is a difference of larger terms, and its own relative error says nothing.

With r the reference's elements and c the candidate's, two figures are bounded:

- `worst`: max |c - r| / max |r|, for the one element that is far off;
- `spread`: ||c - r|| / ||r||, Euclidean, for what is a little off everywhere; 20 log10 of its
  inverse is the signal-to-quantisation-noise ratio in dB.

Where they come from: rounding to a format of p bits of significand has a relative error of at
most u = 2^-p (Higham, Accuracy and Stability of Numerical Algorithms, §2.1), and errors of
layers that are independent add up as a random walk does: u * sqrt(2 L) for L layers of two
rounded operands. With 128 layers that is 2^-20 for float32 and 2^-4 for bfloat16, for an
element; over a whole tensor, where some are rounded up and some down, half of that. For float32
the bounds are those of ONNX's backend tests instead (1e-3 of an element), since kernels such as
Winograd's trade some of it for speed. For int8, 20 dB is what post-training quantisation with
one scale a tensor keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from eais.tolerance import Tolerance


@dataclass(frozen=True, slots=True)
class Bounds:
    """What `worst` and `spread` may be at most, as fractions."""

    worst: float
    spread: float


BOUNDS: Final[Mapping[Tolerance, Bounds]] = {
    Tolerance.FP32: Bounds(worst=1e-3, spread=1e-4),
    Tolerance.BF16: Bounds(worst=2**-4, spread=2**-5),
    Tolerance.INT8: Bounds(worst=0.25, spread=0.1),
}
"""Of every tolerance but exact, which compares bits."""

SMALLEST: Final = 1e-30
"""The scale of a tensor that has none: below, runtimes may take small numbers for zero."""
