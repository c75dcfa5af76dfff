"""The demo: real models through a pool of its own, each answer checked against onnxruntime."""

from __future__ import annotations
