"""What happened to those that wait in line, and to what ends bindings, as `facts`. (Brain)"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LineLeft:
    """There is room for an operation that waited: it goes on. `at`: boot clock."""

    tenant: str
    op_id: str
    at: float


BindingFact = LineLeft
