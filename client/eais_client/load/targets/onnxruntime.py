"""onnxruntime in this process as a target: what a program has without any server."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Final

from eais.errors import ConfigError, EaisError, UsageError, make_error
from eais_client.load.brain.plan import ModelLoad
from eais_client.load.target import Feeds, ServerTimes, Split, TargetSpec
from eais_client.signature import NodeArg, Signature

_CPU: Final = "CPUExecutionProvider"
_DIGITS: Final = 4
_RAN: ContextVar[float | None] = ContextVar("eais_load_onnxruntime_ran", default=None)


class OnnxruntimeCaller:
    """A model that is loaded here."""

    def __init__(self, session: Any, pool: ThreadPoolExecutor) -> None:
        self._session = session
        self._pool = pool
        self.signature = Signature(_args(session.get_inputs()), _args(session.get_outputs()))

    def call(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """A run, which nothing ends before its time."""
        answer, took_s = self._timed(feeds)
        _RAN.set(took_s)
        return answer

    async def call_async(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """A run on a thread: onnxruntime has no other."""
        loop = asyncio.get_running_loop()
        answer, took_s = await loop.run_in_executor(self._pool, self._timed, feeds)
        _RAN.set(took_s)
        return answer

    def last_split(self) -> Split | None:
        """All of it is the run."""
        took_s = _RAN.get()
        return None if took_s is None else Split(compute_s=took_s)

    def _timed(self, feeds: Feeds) -> tuple[Sequence[Any], float]:
        began = time.perf_counter()
        try:
            answer = self._session.run(None, dict(feeds))
        except Exception as error:  # noqa: BLE001 - onnxruntime's have no base of their own
            raise _ours(error, "RUN_FAILED") from None
        return answer, time.perf_counter() - began


class OnnxruntimeTarget:
    """onnxruntime, in each process that makes load.

    Settings: `threads` of a run (onnxruntime's `intra_op_num_threads`; its own default without),
    `provider` (an execution provider's name; the CPU's without).
    """

    def __init__(self, spec: TargetSpec) -> None:
        self._settings = spec.settings
        self._runtime = _runtime()
        self._pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="onnxruntime")

    def open(self, model: ModelLoad, timeout_s: float) -> OnnxruntimeCaller:
        """Load it.

        Raises MODEL_INVALID with what onnxruntime says of it, NOT_FOUND.
        """
        options = self._runtime.SessionOptions()
        options.log_severity_level = 3  # warnings of a model's unused parts are no news here
        options.intra_op_num_threads = _count(self._settings.get("threads", "0"))
        provider = self._provider()
        try:
            session = self._runtime.InferenceSession(model.path, options, providers=[provider])
        except Exception as error:  # noqa: BLE001 - as above
            missing = type(error).__name__ == "NoSuchFile"
            raise _ours(error, "NOT_FOUND" if missing else "MODEL_INVALID") from None
        if provider not in session.get_providers():
            # It falls back on the CPU by itself, and only warns.
            raise UsageError("ARGUMENT", f"provider={provider}: onnxruntime can't use it here")
        return OnnxruntimeCaller(session, self._pool)

    def about(self) -> Mapping[str, str]:
        """Its version, and the threads of a run."""
        threads = self._settings.get("threads", "as many as cores")
        version = str(self._runtime.__version__)
        return {"version": version, "threads": threads, "provider": self._provider()}

    def server_times(self, model: ModelLoad) -> ServerTimes | None:
        """None: all is the caller's own."""
        return None

    def close(self) -> None:
        """End its threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _provider(self) -> str:
        provider = self._settings.get("provider", _CPU)
        if provider not in (there := self._runtime.get_available_providers()):
            text = f"provider={provider}: onnxruntime has no such execution provider here"
            raise UsageError("ARGUMENT", text, hint=f"there are {', '.join(there)}")
        return provider


def _runtime() -> Any:
    # Before it is imported: it would leave an id and a database in the user's home.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError(
            "NOT_INSTALLED",
            "--onnxruntime needs onnxruntime in this environment",
            hint="pip install onnxruntime",
        ) from None
    return onnxruntime


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > _DIGITS:
        raise UsageError("ARGUMENT", f"threads={text}: not a number of threads, such as 1")
    return int(text)


def _args(args: Sequence[Any]) -> tuple[NodeArg, ...]:
    return tuple(NodeArg(arg.name, list(arg.shape), arg.type) for arg in args)


def _ours(error: Exception, reason: str) -> EaisError:
    return make_error(reason, f"{type(error).__name__}: {str(error)[:300]}")
