"""Every certificate renewed every three seconds under load, and the CA rolled meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.renewals.__main__ import ROLES, measure, missed


@pytest.mark.slow
def test_no_call_notices_that_certificates_turn_over(tmp_path: Path) -> None:
    found = measure(20.0, 3.0, tmp_path)
    assert missed(found) == [], found
    assert found["calls"] > 0
    assert found["ca_rolls"] == 1
    assert all(found["renewals"][role] >= 3 for role in ROLES)
