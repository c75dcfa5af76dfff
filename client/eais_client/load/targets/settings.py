"""What may be said of targets beside which they are: `--set KEY=VALUE`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from eais.errors import UsageError
from eais_client.load.target import TargetKind, TargetSpec

KEYS: Final[Mapping[TargetKind, Sequence[str] | None]] = {
    TargetKind.INSTANCE: ("transport", "batching"),
    TargetKind.ONNXRUNTIME: ("threads", "provider"),
    TargetKind.SERVER: ("tls_ca", "tls_cert", "tls_key", "channels"),
    TargetKind.PYTHON: None,
}
"""Of each kind; None: any, for what reads them is the user's own."""
SHARED: Final = ("pids",)
"""Of all: the processes that are the target's, where that isn't known."""


def with_settings(targets: Sequence[TargetSpec], texts: Sequence[str]) -> tuple[TargetSpec, ...]:
    """The targets with "KEY=VALUE" of all that have such a key, and "TARGET:KEY=VALUE" of one.

    Raises `UsageError` ARGUMENT if there is no such target, or none has such a key.
    """
    made = list(targets)
    for text in texts:
        left, found, value = text.partition("=")
        name, _, key = left.rpartition(":")
        if not found or not key:
            raise UsageError("ARGUMENT", f"--set {text}: not as KEY=VALUE")
        meant = [place for place, each in enumerate(made) if _is_meant(each, name, key)]
        if not meant:
            raise _nobody(text, name, key, targets)
        for place in meant:
            made[place] = replace(made[place], settings={**made[place].settings, key: value})
    return tuple(made)


def _is_meant(target: TargetSpec, name: str, key: str) -> bool:
    keys = KEYS[target.kind]
    return name in ("", target.name) and (keys is None or key in (*keys, *SHARED))


def _nobody(text: str, name: str, key: str, targets: Sequence[TargetSpec]) -> UsageError:
    names = [each.name for each in targets]
    if name and name not in names:
        hint = f"there are {', '.join(names)}"
        return UsageError("ARGUMENT", f"--set {text}: no target is called {name}", hint=hint)
    keys = sorted({each for one in targets for each in (*(KEYS[one.kind] or ()), *SHARED)})
    said = f"{name} has no" if name else "no target has a"
    text = f"--set {text}: {said} setting {key!r}"
    return UsageError("ARGUMENT", text, hint=f"there are {', '.join(keys)}")
