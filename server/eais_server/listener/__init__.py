"""The listener: the back-end's daemon, and what it decides, keeps and serves."""

from __future__ import annotations
