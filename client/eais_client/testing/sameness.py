"""Whether two answers of sessions are one and the same."""

from __future__ import annotations

from typing import Any

import numpy as np


def assert_same(left: Any, right: Any) -> None:
    """Equal in Python type, dtype, shape and every bit."""
    assert type(left) is type(right), f"{left!r} is not {right!r}"
    if isinstance(right, np.ndarray):
        assert (left.dtype, left.shape) == (right.dtype, right.shape)
        same = (
            [(type(a), a) for a in left.ravel()] == [(type(b), b) for b in right.ravel()]
            if right.dtype == object
            else left.tobytes() == right.tobytes()
        )
        assert same, f"{left} is not {right}"
    elif isinstance(right, list | tuple):
        assert len(left) == len(right), f"{left!r} is not {right!r}"
        for a, b in zip(left, right, strict=True):
            assert_same(a, b)
    elif isinstance(right, dict):
        assert_same(list(left.items()), list(right.items()))
    else:
        assert left == right or (left != left and right != right), f"{left!r} is not {right!r}"
