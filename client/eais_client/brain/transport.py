"""Which transport carries a session's calls: what its maker says, else the settings. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from eais.errors import UsageError


class Transport(StrEnum):
    """How tensors go to a worker and come back.

    `AUTO` is memory shared with the worker where both allow it, else `H2`. `RING` is that memory
    or an error that says why not. `H2` is gRPC's HTTP/2 on a socket of our own, `GRPCIO` the same
    by the grpcio package, slower.
    """

    AUTO = "auto"
    RING = "ring"
    H2 = "h2"
    GRPCIO = "grpcio"


#: The key of a session's config entry, for programs that only reach its options.
TRANSPORT_KEY: Final = "eais.transport"


def transport_fault(value: object) -> str:
    """What is wrong with a value of `transport`, or ""."""
    if isinstance(value, str) and value in tuple(Transport):
        return ""
    return f"transport must be one of {', '.join(Transport)}, not {value!r}"


def transport_of(given: object, entries: Mapping[str, str], setting: str) -> Transport:
    """The argument if it isn't None, else the config entry, else the `setting`.

    Raises `UsageError` ARGUMENT for what is no transport.
    """
    value = entries.get(TRANSPORT_KEY, setting) if given is None else given
    if fault := transport_fault(value):
        raise UsageError("ARGUMENT", fault)
    return Transport(str(value))
