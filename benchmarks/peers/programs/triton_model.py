"""A model of Triton's Python backend: onnxruntime on one thread.

What the dynamic batcher hands over together runs together.
"""

from __future__ import annotations

import os
import sys

# The backend's own process doesn't look there.
sys.path.insert(0, os.environ["EAIS_PEERS_PACKAGES"])

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb  # type: ignore[import-not-found]


class TritonPythonModel:
    """The interface that the backend asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model that has this one's name."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        path = os.path.join(os.environ["EAIS_PEERS_MODELS"], args["model_name"] + ".onnx")
        self._session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])

    def execute(self, requests: list[pb.InferenceRequest]) -> list[pb.InferenceResponse]:
        """Answer them, in their order."""
        given = [pb.get_input_tensor_by_name(each, "x").as_numpy() for each in requests]
        together = given[0] if len(given) == 1 else np.concatenate(given)
        [found] = self._session.run(None, {"x": together})
        ends = np.cumsum([len(each) for each in given])[:-1]
        parts = [found] if len(given) == 1 else np.split(np.asarray(found), ends)
        return [pb.InferenceResponse([pb.Tensor("y", each)]) for each in parts]
