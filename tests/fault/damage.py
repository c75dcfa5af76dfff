"""Every way in which a small file can be damaged: cut at each byte, and each bit turned."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.stack import eventually


def cuts(data: bytes, step: int = 1) -> Iterator[bytes]:
    """`data` cut at each `step`th byte, from nothing to all but the last."""
    return (data[:end] for end in range(0, len(data), step))


def turns(data: bytes, bits: int = 8) -> Iterator[bytes]:
    """`data` with one bit turned: each of 8 of each byte, or `bits` of them, in turn."""
    for offset in range(len(data)):
        for bit in range(bits):
            turned = bytearray(data)
            turned[offset] ^= 1 << ((offset + bit) % 8)
            yield bytes(turned)


@contextmanager
def small_disk(place: Path, size: str = "1m") -> Iterator[Path]:
    """A file system of its own at `place`; skips the test where none can be mounted."""
    libc = ctypes.CDLL(None, use_errno=True)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = f"size={size},mode=0700".encode()
    if libc.mount(b"tmpfs", bytes(place), b"tmpfs", 0, options):
        pytest.skip(f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}")
    try:
        yield place
    finally:
        libc.umount2(bytes(place), 2)


@contextmanager
def filled(place: Path, *, leave: int = 0) -> Iterator[None]:
    """The disk at `place` is full within the block, but for `leave` bytes."""
    filling = place / "filling"
    with filling.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leave))
    try:
        yield
    finally:
        filling.unlink()


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    """The disk at `place` takes no writes within the block."""
    remount(place, "ro")
    try:
        yield
    finally:
        remount(place, "rw")


def remount(place: Path, how: str) -> None:
    """Have a mounted disk be `ro` or `rw`; nobody may have a file open for writing then.

    Workers of a listener that was killed end a moment after it.
    """
    command = ["mount", "-o", f"remount,{how}", str(place)]
    eventually(lambda: subprocess.run(command).returncode == 0 or None, f"it is {how}")
