"""Lays a model's files out in a worker's directory, as hard links, without following any link.

The directory is a worker's, so nothing in it is trusted to be what it was.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from eais.errors import make_error
from eais.files import PRIVATE_DIR
from eais_server.store.disk import Disk
from eais_server.store.index import Key

_DIR: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[int]:
    """A descriptor of the new directory `folder`, which goes again if the block raises.

    Raises:
        UsageError: WRONG_STATE, it is there already.
        OSError: it can't be made.
    """
    try:
        folder.mkdir(mode=PRIVATE_DIR)
    except FileExistsError:
        raise make_error("WRONG_STATE", "the session's folder is there already") from None
    try:
        with _opened(os.open(folder, _DIR)) as fd:
            yield fd
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def link_at(disk: Disk, key: Key, folder_fd: int, location: str) -> None:
    """Hard-link one file to a checked location below `folder_fd`. Raises OSError."""
    first, _, rest = location.partition("/")
    if not rest:
        disk.link(key, folder_fd, first)
        return
    with contextlib.suppress(FileExistsError):
        os.mkdir(first, PRIVATE_DIR, dir_fd=folder_fd)
    with _opened(os.open(first, _DIR, dir_fd=folder_fd)) as below:
        link_at(disk, key, below, rest)


@contextlib.contextmanager
def _opened(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)
