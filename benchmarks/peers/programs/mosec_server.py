"""A mosec server of raw bytes, in and out, its models run by onnxruntime on one thread.

`EAIS_PEERS_MODELS=FOLDER python mosec_server.py [mosec's own options]`. One process a model, at
`/NAME`; no batching, which is mosec's default.
"""

from __future__ import annotations

import os

import numpy as np
import onnxruntime
from mosec import Runtime, Server, Worker  # type: ignore[import-not-found]
from numpy.typing import NDArray

PATIENCE_S = 120
Array = NDArray[np.float32]


class Onnx(Worker):  # type: ignore[misc]
    """A model file; classes below say which."""

    name = ""
    shape: tuple[int, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        path = os.path.join(os.environ["EAIS_PEERS_MODELS"], f"{self.name}.onnx")
        self._session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])

    def deserialize(self, data: bytes) -> Array:
        """The input, of a batch of any size."""
        return np.frombuffer(data, np.float32).reshape(self.shape)

    def forward(self, data: Array) -> Array:
        """Run it."""
        return np.asarray(self._session.run(None, {"x": data})[0])

    def serialize(self, data: Array) -> bytes:
        """The output's bytes."""
        return data.tobytes()


class Tiny(Onnx):
    """16 bytes a row."""

    name, shape = "tiny", (-1, 4)


class Identity(Onnx):
    """One row of any length."""

    name, shape = "identity", (1, -1)


class ResNet50(Onnx):
    """Pictures."""

    name, shape = "resnet50", (1, 3, 224, 224)


def main() -> None:
    """Serve until it is ended."""
    server = Server()
    server.register_runtime(
        {
            f"/{worker.name}": [Runtime(worker, num=1, timeout=PATIENCE_S)]
            for worker in (Tiny, Identity, ResNet50)
        }
    )
    server.run()


if __name__ == "__main__":
    main()
