from __future__ import annotations

import pytest

from eais.errors import UsageError
from eais.tolerance import Precision, Tolerance


@pytest.mark.parametrize(
    ("tolerance", "admitted"),
    [("exact", {"fp32"}), ("fp32", {"fp32"}), ("bf16", {"fp32", "bf16"}), ("int8", set(Precision))],
)
def test_a_tolerance_admits_precisions(tolerance: str, admitted: set[str]) -> None:
    found = {p for p in Precision if Tolerance.checked(tolerance).admits(p)}
    assert found == admitted


def test_what_is_no_tolerance_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="exact, fp32, bf16, int8, not 'fp64'"):
        Tolerance.checked("fp64")
