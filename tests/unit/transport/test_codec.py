"""The codec of the data stream, against the generated classes, both ways."""

from __future__ import annotations

import numpy as np

from eais.rpc.v1 import worker_pb2
from eais.transport.reading import ToWorkerReader
from eais.transport.tensors import value_of
from eais.transport.writing import RunWriter, to_worker
from eais.value import Deferred


def test_a_call_is_read_as_it_was_written() -> None:
    body = RunWriter("ei-1", "s").body(
        [("x", np.ones((2, 2), np.float32))], ["y"], {"a": "b"}, "t", Deferred()
    )
    data = b"".join(to_worker([body.run(7, 1, 30_000_000)], cancels=[3], hold=["s"]))
    message = worker_pb2.ToWorker.FromString(data)
    parts = ToWorkerReader().read(data)
    (run,) = parts.runs
    assert (run.call_id, run.epoch, run.timeout_us, run.tag) == (7, 1, 30_000_000, "t")
    assert run.config_entries == {"a": "b"}
    assert run.size == message.runs[0].ByteSize()
    assert value_of(run.inputs[0][1]).tolist() == [[1, 1], [1, 1]]
    assert (parts.cancels, parts.hold) == ([3], ["s"])
