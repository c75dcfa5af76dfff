"""What tests of programs that stand on the kernel need of it."""

from __future__ import annotations

from eais.testing.net_agent import FakeNetAgent

__all__ = ["FakeNetAgent"]
