"""Fakes for the client's tests, and what every session must do."""

from __future__ import annotations

from eais_client.testing.conformance import check_session
from eais_client.testing.fake_tools import FakeAlarm, FakeClock
from eais_client.testing.fake_wire import (
    FakeHost,
    FakeStream,
    FakeWatch,
    FakeWire,
    fake_frontend,
    fake_instance,
)

__all__ = [
    "FakeAlarm",
    "FakeClock",
    "FakeHost",
    "FakeStream",
    "FakeWatch",
    "FakeWire",
    "check_session",
    "fake_frontend",
    "fake_instance",
]
