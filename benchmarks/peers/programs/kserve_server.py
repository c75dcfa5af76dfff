"""KServe's model server, its models run by onnxruntime on one thread.

`python kserve_server.py FOLDER MODELS [KServe's own options]` with MODELS as
`{"tiny": {"x": [-1, 4], "y": [-1, 4]}}`: the shapes of each model's input and output.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import onnxruntime
from kserve import (  # type: ignore[import-not-found]
    InferOutput,
    InferRequest,
    InferResponse,
    Model,
    ModelServer,
)


class Onnx(Model):  # type: ignore[misc]
    """A model file."""

    def __init__(self, name: str, path: str, shapes: dict[str, list[int]]) -> None:
        super().__init__(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        self._shapes = shapes
        self.ready = True

    async def get_input_types(self) -> list[dict[str, Any]]:
        """For its metadata."""
        return [{"name": "x", "datatype": "FP32", "shape": self._shapes["x"]}]

    async def get_output_types(self) -> list[dict[str, Any]]:
        """For its metadata."""
        return [{"name": "y", "datatype": "FP32", "shape": self._shapes["y"]}]

    async def predict(
        self, payload: InferRequest, headers: Any = None, response_headers: Any = None
    ) -> InferResponse:
        """Run it; the answer's bytes go out as they are."""
        [found] = self._session.run(None, {"x": payload.inputs[0].as_numpy()})
        output = InferOutput("y", list(found.shape), "FP32")
        output.set_data_from_numpy(found, binary_data=True)
        return InferResponse(payload.id or "", self.name, [output])


def main() -> None:
    """Serve until it is ended."""
    folder, models = sys.argv[1], json.loads(sys.argv[2])
    ModelServer().start(
        [
            Onnx(name, os.path.join(folder, f"{name}.onnx"), shapes)
            for name, shapes in models.items()
        ]
    )


if __name__ == "__main__":
    main()
