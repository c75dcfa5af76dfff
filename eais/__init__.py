"""EAIS: elastic accelerated instances, attached over the network."""

from __future__ import annotations

__version__ = "0.1.0"
