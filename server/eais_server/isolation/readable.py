"""What a worker at level 2 may read: the runtime's libraries, and its own directory.

The project's own packages may be installed in place, next to anything at all. So no folder of
`sys.path` is allowed as a whole unless it is one of the interpreter's library folders.
"""

from __future__ import annotations

import site
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

OWN_PACKAGES: Final = ("eais", "eais_server")

_SYSTEM_LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")

# What the C library and the runtimes ask after this; found by tracing numpy, onnxruntime, grpc
# and uvloop. The last three hold symbolic links, whose targets stay closed: without the lists
# onnxruntime warns at each start that its search for devices failed.
_SYSTEM_FILES: Final = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/urandom",
    "/proc/cpuinfo",
    "/sys/devices/system/cpu",
    "/sys/bus/pci/devices",
    "/sys/class/accel",
    "/sys/class/drm",
)


class SecretsReadable(Exception):
    """A directory that must stay unread lies below one that a worker has to read."""


def readable_paths(work_dir: Path, secret_roots: Iterable[Path]) -> tuple[Path, ...]:
    """All that a worker may read, resolved, that exists here; no path lies below another.

    Args:
        work_dir: the worker's own directory; may lie below a secret root.
        secret_roots: directories of which the worker may read nothing but `work_dir`.

    Raises:
        SecretsReadable: a secret root is one of the paths or lies below one.
    """
    wanted = [work_dir, *_library_folders(), *map(Path, _SYSTEM_FILES), *_package_folders()]
    paths = _outermost(path.resolve() for path in wanted if path.exists())
    for root in secret_roots:
        _refuse_cover(paths, root.resolve())
    return paths


def _library_folders() -> Iterator[Path]:
    for prefix in (sys.prefix, sys.base_prefix):
        yield from (Path(prefix, name) for name in ("lib", "lib64"))
    yield from map(Path, site.getsitepackages())
    yield from map(Path, _SYSTEM_LIBRARIES)


def _package_folders() -> Iterator[Path]:
    for name in OWN_PACKAGES:
        spec = find_spec(name)
        yield from map(Path, (spec and spec.submodule_search_locations) or ())


def _outermost(paths: Iterable[Path]) -> tuple[Path, ...]:
    kept: list[Path] = []
    for path in sorted(set(paths)):
        if not any(path.is_relative_to(above) for above in kept):
            kept.append(path)
    return tuple(kept)


def _refuse_cover(paths: Iterable[Path], root: Path) -> None:
    for path in paths:
        if root.is_relative_to(path):
            raise SecretsReadable(f"{root} lies below {path}, which every worker must read")
