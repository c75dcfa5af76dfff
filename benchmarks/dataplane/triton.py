"""tritonclient as a contestant: a client of Triton, whose server `benchmarks.peers` starts."""

from __future__ import annotations

import time
from typing import Any


class Client:
    """A `Contestant`; runs in the peers' own environment `client/`, where nothing of ours is."""

    def __init__(self, port: int) -> None:
        import numpy as np
        import tritonclient.grpc as client  # type: ignore[import-not-found]

        self._client = client.InferenceServerClient(f"127.0.0.1:{port}")
        self._feeds: dict[str, Any] = {}
        small = np.arange(4, dtype=np.float32).reshape(1, 4)
        large = np.arange(4 << 20, dtype=np.float32).reshape(1, -1)
        for name, array in (("tiny", small), ("identity", large)):
            given = client.InferInput("x", list(array.shape), "FP32")
            given.set_data_from_numpy(array)
            self._feeds[name] = given

    def took(self, what: str, calls: int) -> list[float]:
        """See `Contestant`."""
        took = []
        for _ in range(calls):
            began = time.perf_counter()
            self._client.infer(what, [self._feeds[what]]).as_numpy("y")
            took.append(time.perf_counter() - began)
        return took

    def per_s(self, what: str, seconds: float) -> float:
        """Of one caller."""
        end, calls = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            calls += len(self.took(what, 100))
        return calls / seconds
