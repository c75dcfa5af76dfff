"""Targets that users write, in Python.

The least of them is a class that is made of a `TargetSpec`, says what its models take, and calls::

    class Mine(CallTarget):
        def signature(self, model):
            return Signature((NodeArg("x", [1, 4], "tensor(float)"),), ())

        def call(self, model, feeds, timeout_s):
            return [requests.post(URL, data=feeds["x"].tobytes(), timeout=timeout_s).content]

It is called by many threads at a time. `eais loadtest --python my_module:Mine` finds it where
Python finds modules: in the working directory, and what is installed.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, cast

from eais.errors import EaisError, UsageError
from eais_client.load.brain.plan import ModelLoad
from eais_client.load.target import Feeds, RequestFailed, ServerTimes, Split, Target, TargetSpec
from eais_client.signature import Signature

_METHODS: Final = ("open", "about", "server_times", "close")
_CALLS_AT_ONCE: Final = 256


class CallTarget(ABC):
    """A target that is a function of a model and its inputs."""

    def __init__(self, spec: TargetSpec) -> None:
        self.spec = spec
        self._pool: ThreadPoolExecutor | None = None

    @abstractmethod
    def signature(self, model: str) -> Signature:
        """What `model` takes and gives."""

    @abstractmethod
    def call(self, model: str, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """One call; its outputs, in the signature's order. What it raises is counted by class."""

    async def call_async(self, model: str, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """As `call`; on threads, unless it is written anew."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="target")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self.call, model, feeds, timeout_s)

    def open(self, model: ModelLoad, timeout_s: float) -> BoundCaller:
        """The model, ready to be called."""
        return BoundCaller(self, model.name)

    def about(self) -> Mapping[str, str]:
        """What is to stand in the report."""
        return {}

    def server_times(self, model: ModelLoad) -> ServerTimes | None:
        """None is known."""
        return None

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


class BoundCaller:
    """One model of a `CallTarget`."""

    def __init__(self, target: CallTarget, model: str) -> None:
        self._target = target
        self._model = model
        self.signature = _signature(target, model)

    def call(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """See `CallTarget.call`. What would end the program is a failed request."""
        try:
            return self._target.call(self._model, feeds, timeout_s)
        except SystemExit as error:
            raise RequestFailed("SystemExit", str(error)) from None

    async def call_async(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """See `CallTarget.call_async`."""
        return await self._target.call_async(self._model, feeds, timeout_s)

    def last_split(self) -> Split | None:
        """Nothing is known."""
        return None


def _signature(target: CallTarget, model: str) -> Signature:
    what = f"--python {target.spec.place}: signature({model!r})"
    try:
        found: object = target.signature(model)
    except EaisError:
        raise
    except Exception as error:
        raise UsageError("ARGUMENT", f"{what}: {type(error).__name__}: {error}") from error
    if not isinstance(found, Signature):
        text = f"{what} gives a {type(found).__name__}"
        raise UsageError("ARGUMENT", text, hint="an eais_client.signature.Signature")
    return found


def load_target(spec: TargetSpec) -> Target:
    """What "module:attribute" makes of the spec.

    Raises `UsageError` ARGUMENT if there is no such module or attribute, it can't be made, or lacks
    what a target has.
    """
    module, found, name = spec.place.partition(":")
    if not found or not module or not name:
        raise UsageError("ARGUMENT", f"--python {spec.place}: not as MODULE:NAME")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        maker = getattr(importlib.import_module(module), name)
        made = maker(spec)
    except EaisError:
        raise
    except (Exception, SystemExit) as error:
        text = f"--python {spec.place}: {type(error).__name__}: {error}"
        raise UsageError("ARGUMENT", text) from error
    if missing := [each for each in _METHODS if not callable(getattr(made, each, None))]:
        text = f"--python {spec.place}: what it makes has no {missing[0]}()"
        hint = "derive it from eais_client.load.targets.plugin.CallTarget"
        raise UsageError("ARGUMENT", text, hint=hint)
    return cast(Target, made)
