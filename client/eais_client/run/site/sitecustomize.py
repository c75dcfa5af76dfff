# mypy: allow-untyped-defs, allow-untyped-calls
"""Loaded by each Python below `eais run`, whichever it is: finds `onnxruntime` in EAIS.

Any interpreter may come by, also one without EAIS and one that is too old for it: so this
is written for old ones, imports next to nothing, and fails only an import of onnxruntime.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_NAME = "onnxruntime"


class Finder(object):
    """Finds `onnxruntime` and what is in it; `early` is what was imported before."""

    eais_run = True

    def __init__(self, early):
        self.early = early

    def find_spec(self, fullname, path=None, target=None):
        """The spec of a module that stands in; None for the rest."""
        if fullname != _NAME and not fullname.startswith(_NAME + "."):
            return None
        return _modules().spec_of(fullname)

    def find_distributions(self, context=None):
        """What `importlib.metadata` says of onnxruntime where it isn't installed."""
        if getattr(context, "name", None) != _NAME or "path" in vars(context):
            return []
        try:
            return _modules().distributions()
        except ImportError:
            return []


def _modules():
    fault = "EAIS needs Python 3.11 or newer"
    if sys.version_info >= (3, 11):
        try:
            from eais_client.run import modules

            return modules
        except ImportError as error:
            fault = str(error)
    raise ImportError(
        "eais run: onnxruntime can't be replaced in %s: %s (%s -m pip install eais)"
        % (sys.executable, fault, sys.executable)
    )


def _put_first():
    found = [name for name in sys.modules if name.split(".")[0] == _NAME]
    early = dict((name, sys.modules.pop(name)) for name in found)
    if early:
        sys.stderr.write(
            "eais run: onnxruntime was imported while Python started, before sitecustomize (by a "
            ".pth file?): sessions of what imported it run in this process; the program's use "
            "the pool\n"
        )
    sys.meta_path.insert(0, Finder(early))


def _run_next():
    """Run the environment's own sitecustomize, in the place of this one."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    spec = PathFinder.find_spec("sitecustomize")
    if spec is None or spec.loader is None:
        return
    ours = sys.modules["sitecustomize"]
    sys.modules["sitecustomize"] = module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules["sitecustomize"] = ours
        raise


sys.path[:] = [place for place in sys.path if os.path.abspath(place) != _HERE]
if sys.version_info >= (3, 5):
    _put_first()
    _run_next()
