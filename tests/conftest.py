"""What holds for all tests."""

from __future__ import annotations

import signal

import grpc.aio
from hypothesis import HealthCheck, settings

# No test asserts a timing, hypothesis' own neither: machines stall.
settings.register_profile("eais", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("eais")

# Who is started in the background by a shell has Ctrl-C ignored, and so have its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Without one user that stays, grpc.aio ends with whatever server or channel is collected last, and
# waits for its own thread there, for ever if that is in the middle of a collection.
grpc.aio.init_grpc_aio()  # type: ignore[attr-defined]
