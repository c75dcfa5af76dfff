"""What the kernel refuses, said with what would help."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from eais.errors import ConfigError

_HINTS: Final = {
    errno.EPERM: "the network agent needs CAP_NET_ADMIN, and for other namespaces CAP_SYS_ADMIN",
    errno.EEXIST: "another interface has the name or the number: take it away, or rename it",
    errno.EBUSY: "another interface has the number or the address",
    errno.ENODEV: "it was taken away meanwhile: ask again",
    errno.ENOBUFS: "the kernel has no memory for it now: ask again",
    errno.ENOMEM: "the kernel has no memory for it now: ask again",
    errno.EMFILE: "the agent has too many files open: LimitNOFILE of its unit, `ulimit -n`",
    errno.ENFILE: "this host has no more files to open: fs.file-max",
    errno.EAGAIN: "there can be no more processes now: TasksMax of its unit, `ulimit -u`",
}


@contextmanager
def kernel_says(what: str, hints: Mapping[int, str] | None = None) -> Iterator[None]:
    """Errors of the kernel are NETDEV: `what` failed, why, and by errno what would help."""
    try:
        yield
    except ImportError:
        text = f"{what}: pyroute2 isn't installed"
        raise ConfigError("NETDEV", text, hint="pip install 'eais[net]'") from None
    except OSError as error:
        why = error.strerror or str(error) or "no answer"
        hint = {**_HINTS, **(hints or {})}.get(error.errno or 0, "")
        raise ConfigError("NETDEV", f"{what}: {why}", hint=hint) from error
