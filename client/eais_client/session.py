"""The drop-in: `eais.InferenceSession` where a program had onnxruntime's.

The model runs on the accelerator that is attached; the program keeps its code, the
exceptions it catches and the answers it gets. This file is all that `import eais` and
naming the class load; `eais_client.remote_session` has the work, and numpy and gRPC.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from eais_client.session_options import SessionOptions, session_options_of
from eais_client.signature import ModelMetadata, NodeArg

if TYPE_CHECKING:
    from eais_client.account import CallAccount
    from eais_client.fallback import FallbackSession
    from eais_client.frontend import FrontEnd
    from eais_client.remote_session import RemoteSession
    from eais_client.session_stats import SessionStats

Work: TypeAlias = "RemoteSession | FallbackSession"


class InferenceSession:
    """A model loaded on an attached instance; onnxruntime's `InferenceSession`.

    Args:
        path_or_bytes: the model's path (external data is found beside it), or its bytes.
        sess_options: ours or onnxruntime's `SessionOptions`.
        providers: as onnxruntime takes them; names that the instance lacks are warned of.
        provider_options: as onnxruntime takes them; also one dict. Our own keys are
            `instance` ("ei-...": which one) and `timeout_s` (how long each `run` may take;
            the making of the session is bounded by `eais.deadline` alone).
        batching: whether the worker may run calls that wait together: "auto" (the default)
            where it is proven that no answer changes by it, "on" without that proof, "off".
            Also a key of `provider_options`.
        fallback: "local" runs the model in this process, by its own onnxruntime, while the
            pool can't be reached, and says so (`fallback_active`); "" doesn't. By default
            `EAIS_FALLBACK`, or `fallback` in `[client]` of the contexts' file.
        transport: how tensors travel: "ring" (memory shared with a worker on this host), "h2",
            "grpcio", or "auto", the best of those that there are. By default the config entry
            "eais.transport" of `sess_options`, `EAIS_TRANSPORT`, or `transport` in `[client]`.
        frontend: for tests; the one of the context in force is used otherwise.

    Raises what onnxruntime raises for the same mistake (`NoSuchFile`, `InvalidProtobuf`,
    `InvalidGraph`, `Fail`, TypeError, ...), each also an `eais.errors.EaisError`; and
    NOT_ATTACHED, INSTANCE_AMBIGUOUS, INSTANCE_STOPPED, `Unavailable`, `IdentityError`,
    `DeadlineExceeded`; NOT_INSTALLED if it is to fall back on an onnxruntime that isn't there.

    Thread-safe. Calls run side by side; `close` ends it, as does the end of a `with`.
    """

    def __init__(
        self,
        path_or_bytes: str | bytes | os.PathLike[str],
        sess_options: object = None,
        providers: Sequence[str | tuple[str, dict[Any, Any]]] | None = None,
        provider_options: Sequence[dict[Any, Any]] | Mapping[str, Any] | None = None,
        *,
        batching: str | None = None,
        fallback: str | None = None,
        transport: str | None = None,
        frontend: FrontEnd | None = None,
        **_ignored: object,
    ) -> None:
        from eais_client.asked import ask
        from eais_client.fallback import opened_session

        self._options = session_options_of(sess_options)
        asked = self._asked = ask(
            path_or_bytes,
            self._options,
            sess_options,
            providers,
            provider_options,
            fallback,
            frontend,
            transport,
            batching,
        )
        self._work = opened_session(asked)
        asked.warn_of_providers(self._work.signature.providers)

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: object = None,
    ) -> list[Any]:
        """Run the model and wait for the answer.

        `output_names` None or empty: all, in the model's order. Inputs are arrays, lists
        (made arrays of the declared type), or what sequence and map inputs take. Answers
        are arrays (writable, their own memory), lists and dicts.

        Raises what onnxruntime raises; and DEADLINE_EXCEEDED, INSTANCE_STOPPED, DETACHED,
        SESSION_CLOSED, NO_WORKER, WORKER_DIED, FORKED.
        """
        return self._work.run(output_names, input_feed, run_options)

    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        callback: Callable[[list[Any], Any, str], object],
        user_data: Any,
        run_options: object = None,
    ) -> None:
        """Begin a run; `callback(results, user_data, error)` is called on another thread.

        On success `error` is "", else `results` is [] and `error` is onnxruntime's text.
        What is wrong with the inputs' names is raised here, as onnxruntime does.
        """
        self._work.run_async(output_names, input_feed, callback, user_data, run_options)

    def get_inputs(self) -> list[NodeArg]:
        """The model's inputs, with `.name`, `.shape` and `.type`."""
        return list(self._work.signature.inputs)

    def get_outputs(self) -> list[NodeArg]:
        """The model's outputs."""
        return list(self._work.signature.outputs)

    def get_overridable_initializers(self) -> list[NodeArg]:
        """The initializers that a feed may override."""
        return list(self._work.signature.overridable_initializers)

    def get_modelmeta(self) -> ModelMetadata:
        """What the model's maker wrote into it."""
        return self._work.signature.metadata

    def get_providers(self) -> list[str]:
        """The execution providers in use at the worker.

        While the model runs in this process: those in use here, and "EaisLocalFallback" last.
        """
        return list(self._work.signature.providers)

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """Options of each provider in use: none are set by callers."""
        return {name: {} for name in self.get_providers()}

    def set_providers(
        self,
        providers: Sequence[str | tuple[str, dict[Any, Any]]] | None = None,
        provider_options: Sequence[dict[Any, Any]] | None = None,
    ) -> None:
        """Nothing: which device is used the pool decides; names it lacks are warned of."""
        from eais_client.brain.choose import read_choice

        again = replace(self._asked, choice=read_choice(providers, provider_options, os.environ))
        again.warn_of_providers(self._work.signature.providers)

    def enable_fallback(self) -> None:
        """Nothing: no other provider is tried here when one fails (see `fallback` instead)."""

    def disable_fallback(self) -> None:
        """Nothing: as `enable_fallback`."""

    def get_session_options(self) -> SessionOptions:
        """The options that the session was made with."""
        return self._options

    @property
    def fallback_active(self) -> bool:
        """Whether calls are answered in this process now, since the pool can't be reached."""
        return self._work.fallback_active

    def stats(self) -> SessionStats:
        """How many calls the pool answered, at what cost, and how many this process did."""
        return self._work.stats

    @property
    def last_call(self) -> CallAccount | None:
        """What the call cost that was answered last in this thread, or asyncio task, or callback.

        None if none was yet. It is kept in the context (`contextvars`), for the eight sessions
        that were used last in it; a task begins with what its maker had.
        """
        return self._work.last_call()

    @property
    def work(self) -> Work:
        """What the session is made of, for another face of it."""
        return self._work

    def close(self) -> None:
        """End the session; later calls fail with SESSION_CLOSED. May be called again."""
        self._work.close()

    def __enter__(self) -> InferenceSession:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<eais.InferenceSession {self._work!r}>"


def get_available_providers() -> list[str]:
    """The execution providers that attached instances may have."""
    return ["CPUExecutionProvider"]
