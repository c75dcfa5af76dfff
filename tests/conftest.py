"""What holds for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# No test asserts a timing, hypothesis' own neither: machines stall.
settings.register_profile("eais", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("eais")
