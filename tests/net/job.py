"""What a user's program does on a front-end's machine, told by lines; it answers with JSON.

`resnet N`, `large MIB`: calls whose answers are compared with onnxruntime's own, bit for bit.
`timed MIB`: seconds of one call of so much; `small COUNT`: of each of so many of 16 bytes.
`begin TIMEOUT_S`: a thread that calls without a pause from now on, each call with that deadline;
`answered`: once the next one is; `end`: how that went.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

import eais
from eais.errors import EaisError
from eais_client.demo.resnet import INPUT, pictures, write_resnet50

MIB: Final = 1 << 20


def main() -> int:
    """Until there are no more lines."""
    print(json.dumps({"ready": True}), flush=True)
    calls: Calls | None = None
    timed = Timed()
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        answer: dict[str, Any] = {}
        if word == "resnet":
            answer = resnet(int(number))
        elif word == "large":
            answer = large(int(number))
        elif word in ("timed", "small"):
            answer = timed.call(word, int(number))
        elif word == "begin":
            calls = Calls(float(number))
        elif word == "answered" and calls is not None:
            answer = calls.answered()
        elif word == "end" and calls is not None:
            answer = calls.end()
        print(json.dumps(answer), flush=True)
    return 0


def resnet(count: int) -> dict[str, Any]:
    """ResNet-50 on so many pictures."""
    model = Path("resnet50.onnx")
    write_resnet50(model)
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    session = eais.InferenceSession(str(model))
    own = onnxruntime.InferenceSession(str(model), quiet)
    wrong = 0
    for picture in pictures(count):
        feed = {INPUT: picture}
        (there,), (here,) = session.run(None, feed), own.run(None, feed)
        wrong += not np.allclose(there, np.asarray(here), rtol=1e-5, atol=1e-6)
    return {"calls": count, "wrong": wrong}


def large(mib: int) -> dict[str, Any]:
    """One call with a tensor of so many MiB each way."""
    session = eais.InferenceSession(doubling())
    values = np.arange(mib * MIB // 4, dtype=np.float32)
    began = time.monotonic()
    (answer,) = session.run(None, {"x": values})
    took_s = time.monotonic() - began
    return {"calls": 1, "wrong": int(not np.array_equal(answer, values + values)), "s": took_s}


class Timed:
    """Calls of which only the time is of interest, in one session."""

    def __init__(self) -> None:
        self._session: eais.InferenceSession | None = None
        self._values = np.zeros(4, np.float32)

    def call(self, word: str, number: int) -> dict[str, Any]:
        """See `timed` and `small`."""
        session = self._session = self._session or eais.InferenceSession(doubling())
        size, count = (number * MIB // 4, 1) if word == "timed" else (4, number)
        if self._values.size != size:
            self._values = np.zeros(size, np.float32)
        times = []
        for _ in range(count):
            began = time.perf_counter()
            session.run(None, {"x": self._values})
            times.append(time.perf_counter() - began)
        return {"s": times, "used": session.stats().transport}


def doubling() -> bytes:
    """A model: y = x + x, of any length."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


class Calls:
    """Calls one after the other, of 64 KiB each way.

    A call that misses its deadline is late, and no call is ever lost: none may have another error.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._session = eais.InferenceSession(doubling())
        self._stop = threading.Event()
        self._again = threading.Event()
        self._said: Counter[str] = Counter()
        self._late_by_s = 0.0
        self._longest_s = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def answered(self) -> dict[str, Any]:
        """Wait for the next call that is answered, half a minute at most."""
        self._again.clear()
        return {"answered": self._again.wait(30)}

    def end(self) -> dict[str, Any]:
        """How it went."""
        self._stop.set()
        self._thread.join()
        return {
            **{word: self._said[word] for word in ("calls", "wrong", "late", "lost")},
            "errors": [word for word in self._said if word.startswith("!")],
            "late_by_s": self._late_by_s,
            "longest_s": self._longest_s,
        }

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            values = np.full(16_384, number, np.float32)
            began = time.monotonic()
            try:
                with eais.deadline(self._timeout_s):
                    (answer,) = self._session.run(None, {"x": values})
                self._said["wrong"] += not np.array_equal(answer, values + values)
                self._again.set()
            except EaisError as error:
                late = error.reason == "DEADLINE_EXCEEDED"
                self._said["late" if late else "lost"] += 1
                if not late:
                    self._said[f"!{error.reason}: {error.message}"] += 1
                by_s = time.monotonic() - began - self._timeout_s
                self._late_by_s = max(self._late_by_s, by_s)
            self._said["calls"] += 1
            self._longest_s = max(self._longest_s, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
