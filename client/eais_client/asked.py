"""What a caller makes a session of: the model, options, and what is said beside them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eais.deadline import NEVER, Deadline, current
from eais.errors import UsageError
from eais_client.brain.choose import Choice, provider_fault, read_choice
from eais_client.brain.transport import Transport, transport_of
from eais_client.config import fallback_fault
from eais_client.frontend import FrontEnd, frontend_of
from eais_client.model_source import ModelSource, read_model
from eais_client.session_options import SessionOptions

#: What `run_async` calls: (results, user_data, error text or "").
Callback = Callable[[list[Any], Any, str], object]


@dataclass(frozen=True, slots=True)
class Asked:
    """All that a session is made of, read and checked.

    Attributes:
        source: the model, as it was when it was read.
        options, given: the options as ours, and as the caller gave them.
        choice: what was said beside the model.
        fallback: whether this process runs the model while the pool can't be reached.
        transport: what its calls go by.
    """

    frontend: FrontEnd
    source: ModelSource
    options: SessionOptions
    given: object
    choice: Choice
    fallback: bool
    transport: Transport = Transport.AUTO

    def call_deadline(self) -> Deadline:
        """The deadline of a call that begins now: the caller's, or the session's own if earlier.

        Raises `DeadlineExceeded` if it has passed.
        """
        deadline, seconds = current(), self.choice.timeout_s
        if seconds is None and deadline is NEVER:
            return deadline
        now = self.frontend.clock()
        if seconds is not None:
            deadline = deadline.earlier(Deadline.after(seconds, now))
        deadline.check(now)
        return deadline

    def warn_of_providers(self, available: Sequence[str]) -> None:
        """Warn the caller's caller of providers asked for that aren't `available`."""
        for name in self.choice.providers:
            if name not in available:
                warnings.warn(
                    f"Specified provider '{name}' is not in available provider names."
                    f"Available providers: '{', '.join(available)}'",
                    stacklevel=3,
                )


def ask(
    path_or_bytes: object,
    options: SessionOptions,
    given: object,
    providers: object,
    provider_options: object,
    fallback: str | None,
    frontend: FrontEnd | None,
    transport: str | None = None,
    batching: str | None = None,
) -> Asked:
    """Read what `InferenceSession` was given; it raises what that raises before it connects."""
    fault = provider_fault(providers, provider_options)
    if fault:
        warnings.warn(f"EP Error {fault} when using {providers}", stacklevel=3)
    if options.optimized_model_filepath:
        text = "optimized_model_filepath: no file is written, the model is optimized at its worker"
        warnings.warn(text, stacklevel=3)
    choice = read_choice(providers, provider_options, os.environ, batching)
    frontend = frontend or _usable_frontend(path_or_bytes)
    wanted = fallback_of(fallback, frontend)
    setting = os.environ.get("EAIS_TRANSPORT", frontend.config.transport)
    by = transport_of(transport, options.config_entries, setting)
    deadline = current()
    deadline.check(frontend.clock())
    source = read_model(path_or_bytes, lambda: deadline.check(frontend.clock()))
    return Asked(frontend, source, options, given, choice, wanted, by)


def fallback_of(given: str | None, frontend: FrontEnd) -> bool:
    """Whether to fall back: the argument, else `EAIS_FALLBACK`, else the contexts' file."""
    if given is None:
        given = os.environ.get("EAIS_FALLBACK", frontend.config.fallback)
    if fault := fallback_fault(given):
        raise UsageError("ARGUMENT", fault)
    return given == "local"


def _usable_frontend(path_or_bytes: object) -> FrontEnd:
    if not isinstance(path_or_bytes, str | bytes | os.PathLike):
        read_model(path_or_bytes, lambda: None)  # onnxruntime's TypeError comes first
    return frontend_of(os.environ)
