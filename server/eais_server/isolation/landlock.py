"""The Landlock ruleset of level 2: read a few paths, accept TCP, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from landlockpy import AccessFS, AccessNet, Ruleset, fs_for_abi, net_for_abi, scope_for_abi

_READ_FILE: Final = AccessFS.READ_FILE
_READ_TREE: Final = AccessFS.READ_FILE | AccessFS.READ_DIR


def worker_ruleset(abi: int, readable: Iterable[Path]) -> Ruleset:
    """A ruleset that handles all that `abi` knows, not yet in force.

    EXECUTE is granted nowhere: it is asked at exec, not when a library is mapped. Binding TCP
    is the one right that isn't handled, since a worker learns its port after this; of UDP
    (ABI 10) nothing is allowed.

    Args:
        abi: the kernel's Landlock ABI.
        readable: existing files and directory trees that may be read.

    Raises:
        landlockpy.LandlockError: the kernel refuses the ruleset or a path.
    """
    found = Ruleset(
        handled_fs=fs_for_abi(abi),
        handled_net=net_for_abi(abi) & ~AccessNet.BIND_TCP,
        scoped=scope_for_abi(abi),
        best_effort=False,
    )
    for path in readable:
        found.allow_path(path, _READ_TREE if path.is_dir() else _READ_FILE)
    return found
