"""The modules that stand in for onnxruntime's, and the specs by which Python finds them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import partial
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from eais_client.run.names import (
    LOADED_WITH,
    MODULES,
    PACKAGES,
    REAL_FIRST,
    REAL_ONLY,
    REFUSED,
    ROOT,
)
from eais_client.run.real import INSTALL, real_module, real_place, stands_aside, version

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_NOT_HERE = "is onnxruntime's own, which isn't installed in this environment"


def spec_of(fullname: str) -> ModuleSpec | None:
    """How `fullname` ("onnxruntime" or what is in it) is loaded; None: not from here.

    Raises ModuleNotFoundError for what only the real onnxruntime has, if it isn't installed.
    """
    if stands_aside():
        return None
    place = real_place()
    if fullname in MODULES and not (place and fullname in REAL_FIRST):
        return _spec(fullname, place)
    if place is None and fullname.split(".")[1] in REAL_ONLY:
        raise _missing(fullname)
    return None  # found on the real package's path, if it is there


def distributions() -> Iterable[Distribution]:
    """What says that onnxruntime is installed, if it isn't: programs ask for its version."""
    from eais_client.run.metadata import StandInDistribution

    return [] if stands_aside() or real_place() else [StandInDistribution()]


def _spec(fullname: str, place: str | None) -> ModuleSpec:
    folder = Path(place) if place else Path(__file__).parent
    spec = ModuleSpec(fullname, _Loader(), is_package=fullname in PACKAGES)
    below = fullname.split(".")[1:]
    if fullname in PACKAGES:
        spec.submodule_search_locations = [str(folder.joinpath(*below))] if place else []
        spec.origin = str(folder.joinpath(*below, "__init__.py"))
    else:
        spec.origin = str(folder.joinpath(*below[:-1], f"{below[-1]}.py"))
    return spec


class _Loader(Loader):
    """Makes a module whose names are looked up when they are first asked for."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        spec, name = module.__spec__, module.__name__
        assert spec is not None
        if spec.origin and Path(spec.origin).exists():
            module.__file__ = spec.origin
        module.__doc__ = "EAIS in the place of onnxruntime: sessions run on the attached instance."
        own: dict[str, Any] = module.__dict__
        own["__all__"] = sorted(MODULES[name])
        own["__getattr__"] = partial(_attribute, module)
        own["__dir__"] = lambda: sorted({*own, *MODULES[name], *LOADED_WITH.get(name, ())})
        if name == ROOT:
            own["__version__"] = version()
            own["__author__"] = "EAIS"
        for part in LOADED_WITH.get(name, ()):
            importlib.import_module(f"{name}.{part}")


def _attribute(module: ModuleType, name: str) -> Any:
    """The attribute `name` of a module that stands in; kept there from then on."""
    if name.startswith("__") and name.endswith("__"):
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
    value = _found(module.__name__, name)
    setattr(module, name, value)
    return value


def _found(module: str, name: str) -> Any:
    if name in MODULES[module]:
        return getattr(importlib.import_module(MODULES[module][name]), name)
    if name in REFUSED.get(module, ()):
        text = f"{module}.{name} would run the model in this process"
        raise AttributeError(f"eais run: {text}: use onnxruntime.InferenceSession")
    return _of_real(module, name)


def _of_real(module: str, name: str) -> Any:
    if real_place() is None:
        if name in REAL_ONLY:
            raise AttributeError(str(_missing(f"{module}.{name}")))
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    return getattr(real_module(module), name)


def _missing(fullname: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"eais run: {fullname} {_NOT_HERE} ({INSTALL})", name=ROOT)
