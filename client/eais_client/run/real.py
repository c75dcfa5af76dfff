"""The real onnxruntime of this environment, beside the one that stands in for it."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import threading
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from eais_client.run.names import ROOT, STANDS_FOR

INSTALL = "pip install onnxruntime"
_VERSION = re.compile(r'^__version__ = "([^"]+)"', re.MULTILINE)

_lock = threading.RLock()
_loaded: dict[str, ModuleType] = {}
# The thread that loads it now: to it alone the finder says nothing.
_loading = 0


def stands_aside() -> bool:
    """Whether this thread is loading the real package now."""
    return _loading == threading.get_ident()


def hook() -> Any:
    """The finder that `eais run` put into this process; None if there is none."""
    return next((each for each in sys.meta_path if getattr(each, "eais_run", False)), None)


def real_spec() -> ModuleSpec | None:
    """Where the real package is; None if it isn't installed."""
    for finder in sys.meta_path:
        if getattr(finder, "eais_run", False) or not hasattr(finder, "find_spec"):
            continue
        spec = finder.find_spec(ROOT, None)
        if spec is not None and spec.origin is not None:  # a folder of that name has none
            return spec
    return None


def real_place() -> str | None:
    """The real package's folder; None if it isn't installed."""
    spec = real_spec()
    return None if spec is None or spec.origin is None else str(Path(spec.origin).parent)


def version() -> str:
    """The real package's version, read without importing it; else the stand-in's."""
    place = real_place()
    if place is not None:
        found = _VERSION.search((Path(place) / "__init__.py").read_text(errors="replace"))
        if found:
            return found[1]
    return STANDS_FOR


def real_onnxruntime() -> ModuleType:
    """The real package, imported if need be; ImportError if it isn't installed.

    Under `eais run` it is in no `sys.modules`: what the program imports goes on standing in.
    """
    return real_module(ROOT)


def real_module(name: str) -> ModuleType:
    """A module of the real package, as `real_onnxruntime`."""
    finder = hook()
    if finder is None:
        return importlib.import_module(name)
    with _lock:
        if not _loaded:
            _loaded.update(finder.early)
        if name not in _loaded:
            _load(name)
        return _loaded[name]


def _load(name: str) -> None:
    """Import the real package in a moment without those that stand in."""
    global _loading
    if real_spec() is None:
        raise ModuleNotFoundError(f"onnxruntime isn't installed here ({INSTALL})", name=ROOT)
    ours = _taken_out()
    sys.modules.update(_loaded)
    _loading = threading.get_ident()
    try:
        importlib.import_module(name)
    finally:
        _loading = 0
        _loaded.update(_taken_out())
        sys.modules.update(ours)


def _taken_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.split(".")[0] == ROOT]
    return {name: sys.modules.pop(name) for name in names}
