"""What holds for all tests."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# No test asserts a timing, hypothesis' own neither: machines stall.
settings.register_profile("eais", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("eais")

# Who is started in the background by a shell has Ctrl-C ignored, and so have its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
