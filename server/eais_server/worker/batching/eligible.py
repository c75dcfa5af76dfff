"""Whether a session's calls may run together: what its caller said, and what is proven."""

from __future__ import annotations

import logging
import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from eais.errors import ModelRejected
from eais_server.devices.driver import SessionSignature, ValueSpec
from eais_server.worker.batching.batches import Batchable
from eais_server.worker.batching.rows.proof import Proof, prove

log = logging.getLogger(__name__)

_NUMBERS: Final = ("bool", "float16", "float", "double", "complex64", "complex128")
_INTEGERS: Final = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_TYPES: Final = frozenset(f"tensor({name})" for name in (*_NUMBERS, *_INTEGERS))


def batchable(model: Path, signature: SessionSignature, choice: str) -> Batchable | None:
    """How the session's calls may run together; None: each runs alone. Blocks.

    Args:
        model: its file, that the runtime has taken.
        signature: what the runtime says of it, options applied.
        choice: "off"; "on", which takes the proof's place; "" asks for the proof.

    Raises:
        ModelRejected: OPTION_REFUSED, another choice.
    """
    if choice not in ("", "on", "off"):
        raise ModelRejected("OPTION_REFUSED", f"batching is on or off, not {choice[:32]!a}")
    names = frozenset(spec.name for spec in signature.inputs)
    if choice == "off" or not names or not _has_rows((*signature.inputs, *signature.outputs)):
        return None
    if choice == "on":
        return Batchable(names)
    proof = _proof(model)
    if not proof.holds or proof.inputs != names:
        log.info("calls of this model run alone: %s", proof.why or "it has other inputs")
        return None
    return Batchable(names)


def _has_rows(specs: Iterable[ValueSpec]) -> bool:
    """Whether all are tensors of numbers with a first dimension that is free."""
    return all(
        spec.type in _TYPES and spec.dims and not isinstance(spec.dims[0], int) for spec in specs
    )


def _proof(model: Path) -> Proof:
    with (
        model.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as data,
    ):
        return prove(data)
