"""Compiles the product's modules where nobody has: a confined worker can't keep what it compiles.

Installed from a wheel they are compiled. Installed in place, a worker's own modules would be
compiled by each worker anew, which takes a sixth of its start.
"""

from __future__ import annotations

import compileall
import os
from collections.abc import Iterable
from importlib.util import cache_from_source
from pathlib import Path
from typing import Final

import eais
import eais_server

PACKAGES: Final = tuple(Path(package.__path__[0]) for package in (eais, eais_server))


def compile_once(first: Path, packages: Iterable[Path] = PACKAGES) -> None:
    """Compile all modules of `packages`, unless `first`, one of them, is compiled already.

    Nothing where this user may not write. Call it before the process is confined.
    """
    if Path(cache_from_source(str(first))).exists():
        return
    for package in packages:
        if os.access(package, os.W_OK):
            compileall.compile_dir(package, quiet=2)
