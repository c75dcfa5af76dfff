"""Triton as a peer, where `PEERS_DIR` holds one.

`triton/` is an environment with nvidia-pytriton and onnxruntime, `tb/` its python backend as a
backend directory, `client/` an environment with tritonclient. It serves the same models, on one
thread of the same core, without TLS.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STARTS_WITHIN_S = 60.0

_MODEL = """
import sys
sys.path.insert(0, {site!r})
import onnxruntime
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            {path!r}, options, providers=["CPUExecutionProvider"]
        )

    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb.get_input_tensor_by_name(request, "x").as_numpy()
            [y] = self.session.run(None, {{"x": x}})
            answers.append(pb.InferenceResponse([pb.Tensor("y", y)]))
        return answers
"""
_CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 256
input [{{name: "x" data_type: TYPE_FP32 dims: [{dims}]}}]
output [{{name: "y" data_type: TYPE_FP32 dims: [{dims}]}}]
instance_group [{{kind: KIND_CPU count: 1}}]
"""
_DIMS = {"tiny": 4, "identity": -1}


def why_not(peers: str | None) -> str:
    """Why there is no Triton to compare with; "" if there is."""
    if not peers:
        return "PEERS_DIR is not set"
    missing = [name for name in ("triton", "tb", "client") if not (Path(peers) / name).is_dir()]
    return f"PEERS_DIR has no {', '.join(missing)}" if missing else ""


def client_python(peers: Path) -> str:
    """What runs a client."""
    return str(peers / "client/bin/python")


@contextlib.contextmanager
def serving(peers: Path, folder: Path, core: int) -> Iterator[int]:
    """A server of the models in `folder`, on `core`; its port."""
    (site,) = (peers / "triton/lib").glob("python3*/site-packages")
    repository = folder / "triton"
    for name, dims in _DIMS.items():
        (repository / name / "1").mkdir(parents=True, exist_ok=True)
        (repository / name / "config.pbtxt").write_text(_CONFIG.format(name=name, dims=dims))
        model = _MODEL.format(site=str(site), path=str(folder / f"{name}.onnx"))
        (repository / name / "1/model.py").write_text(model)
    ports = _free_ports(3)
    argv = [
        "taskset",
        "-c",
        str(core),
        str(site / "pytriton/tritonserver/bin/tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={peers / 'tb'}",
        f"--grpc-port={ports[0]}",
        f"--http-port={ports[1]}",
        f"--metrics-port={ports[2]}",
        "--grpc-address=127.0.0.1",
        "--http-address=127.0.0.1",
    ]
    with (folder / "triton.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=_environ(site))
        try:
            _await_port(ports[0], process)
            yield ports[0]
        finally:
            process.terminate()
            process.wait()


def _environ(site: Path) -> dict[str, str]:
    libraries = {str(file.parent) for file in site.rglob("libcudart-*")}
    libraries.add(str(Path(os.__file__).parents[1]))
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(libraries)), "PYTHONPATH": str(site)}


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        made = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in made]


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.1)
    raise RuntimeError("Triton didn't come up")


class Client:
    """A `Contestant` that calls it; runs in the environment `client/`."""

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
