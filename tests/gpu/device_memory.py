"""Fills a GPU's memory with a pattern, or looks for it, by the CUDA driver alone.

    python tests/gpu/device_memory.py fill      nine tenths of what is free, and ends with that
    python tests/gpu/device_memory.py search    in what is allocated anew, 8 GiB at most
    python tests/gpu/device_memory.py control   in what was filled just before: finds it

The last two print how many words of the pattern they found, and in how many.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np

PATTERN = 0xE1A5C0DE
BLOCK = 256 << 20
MOST = 8 << 30

Pointer = ctypes.c_uint64


class Cuda:
    """The first GPU that is visible, by libcuda's own calls."""

    def __init__(self) -> None:
        self._library: Any = ctypes.CDLL("libcuda.so.1")
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuInit", ctypes.c_uint(0))
        self.call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            raise RuntimeError(f"{name}: CUDA error {code}")

    def free_bytes(self) -> int:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def blocks(self, most: int | None = None) -> list[Pointer]:
        """Nine tenths of what is free, at most `most` bytes."""
        size = self.free_bytes() * 9 // 10
        found = []
        for _ in range((size if most is None else min(size, most)) // BLOCK):
            at = Pointer()
            self.call("cuMemAlloc_v2", ctypes.byref(at), ctypes.c_size_t(BLOCK))
            found.append(at)
        return found

    def fill(self, blocks: list[Pointer]) -> None:
        for at in blocks:
            words = ctypes.c_size_t(BLOCK // 4)
            self.call("cuMemsetD32_v2", at, ctypes.c_uint(PATTERN), words)
        self.call("cuCtxSynchronize")

    def found(self, blocks: list[Pointer]) -> tuple[int, int]:
        """How many words are the pattern, and how many there are."""
        held = np.zeros(BLOCK // 4, np.uint32)
        count = 0
        for at in blocks:
            self.call(
                "cuMemcpyDtoH_v2",
                ctypes.c_void_p(held.ctypes.data),
                at,
                ctypes.c_size_t(held.nbytes),
            )
            count += int(np.count_nonzero(held == PATTERN))
        return count, len(blocks) * held.size


def main() -> None:
    cuda = Cuda()
    verb = sys.argv[1]
    blocks = cuda.blocks(None if verb == "fill" else MOST)
    if verb != "search":
        cuda.fill(blocks)
    if verb != "fill":
        print(*cuda.found(blocks))


if __name__ == "__main__":
    main()
