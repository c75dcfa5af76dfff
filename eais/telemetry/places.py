"""Where a process writes down its page on loopback, for `eais pool status`."""

from __future__ import annotations

from typing import Final

PLACE_FILE: Final = "metrics.json"
"""In a process's own directory: `{"address": ..., "port": ...}`."""
