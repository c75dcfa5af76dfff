"""Certificates of a few seconds, renewed under load, and the CA behind them replaced."""

from __future__ import annotations
