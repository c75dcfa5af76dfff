"""Fakes and conformance functions of the back-end, for tests.

`check_vnic(maker)` holds a vNIC driver to its interface; `FakeVnic`, `FakeInterfaces`, `FakeWall`,
`FakeSpawner`, `FaultyDisk` and `FaultyOps` stand in for the world, with faults by name or by
number.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eais_server.testing.disk import Died, FaultyDisk, FaultyOps
    from eais_server.testing.net import FakeInterfaces, FakeWall
    from eais_server.testing.process import FakeSpawner
    from eais_server.testing.vnic import FakeVnic, check_vnic

__all__ = [
    "Died",
    "FakeInterfaces",
    "FakeSpawner",
    "FakeVnic",
    "FakeWall",
    "FaultyDisk",
    "FaultyOps",
    "check_vnic",
]

_HOME = {
    "Died": "disk",
    "FakeInterfaces": "net",
    "FakeSpawner": "process",
    "FakeVnic": "vnic",
    "FakeWall": "net",
    "FaultyDisk": "disk",
    "FaultyOps": "disk",
    "check_vnic": "vnic",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
