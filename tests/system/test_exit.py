"""A program that ends without closing its session ends, at once and in silence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnxruntime

from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from tests.system.stack import Stack, op

MUL = Path(onnxruntime.__file__).parent / "datasets" / "mul_1.onnx"
# Registered first, so it runs last: after eais has let go of its threads.
PROGRAM = """
import atexit, sys, threading
atexit.register(lambda: print(sorted(t.name for t in threading.enumerate())))
import numpy as np
import eais
session = eais.InferenceSession(sys.argv[1])
print(session.run(None, {"X": np.ones((3, 2), np.float32)})[0].shape)
"""


def test_no_thread_that_ends_is_left_to_the_interpreter(stack: Stack) -> None:
    request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
    made = stack.ask(verbs.POOL_ATTACH, request).instance
    environ = {**os.environ, "EAIS_CONFIG_DIR": str(stack.config), "EAIS_INSTANCE": made.id}
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(MUL)],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    finally:
        stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))
    assert done.stdout.splitlines() == ["(3, 2)", "['MainThread', 'eais-callbacks']"]
    assert done.stderr == ""
