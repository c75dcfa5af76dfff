"""What the pool manager decides: pure, synchronous, on frozen dataclasses. (Brain)"""

from __future__ import annotations
