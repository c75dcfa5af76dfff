"""Confinement of workers: which level a host can give, and putting it in force.

Imports the standard library, landlockpy and seccompy alone, and starts no thread.
"""

from __future__ import annotations

from eais_server.isolation.confine import (
    ALLOWED_ENVIRONMENT,
    NotPristine,
    WorkerConfinement,
    confine,
)
from eais_server.isolation.level import (
    LEVEL_2_LANDLOCK_ABI,
    IsolationLevel,
    IsolationProbe,
    IsolationUnavailable,
    probe_level,
)
from eais_server.isolation.limits import WorkerLimits
from eais_server.isolation.privileges import ParentGone

__all__ = [
    "ALLOWED_ENVIRONMENT",
    "LEVEL_2_LANDLOCK_ABI",
    "IsolationLevel",
    "IsolationProbe",
    "IsolationUnavailable",
    "NotPristine",
    "ParentGone",
    "WorkerConfinement",
    "WorkerLimits",
    "confine",
    "probe_level",
]
