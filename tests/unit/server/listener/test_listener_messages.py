"""What workers say, as the rest of the listener is told it."""

from __future__ import annotations

import pytest

from eais.rpc.v1 import common_pb2
from eais_server.listener.messages import failure_of


@pytest.mark.parametrize("reason", ["", "NO_SUCH_WORD", "x" * 1000])
def test_a_reason_that_there_isnt_gets_to_nobody(reason: str) -> None:
    assert failure_of(common_pb2.Error(reason=reason, message="m")).reason == "PROCESS_FAILED"


def test_a_workers_words_are_cut_to_size() -> None:
    said = common_pb2.Error(reason="MODEL_PARSE", message="m" * 100_000)
    said.metadata.update({f"{n:02}" * 100: "v" * 1000 for n in range(100)})
    heard = failure_of(said)
    assert heard.reason == "MODEL_PARSE"
    assert len(heard.message) <= 512
    assert len(heard.metadata) == 8
    assert all(len(key) <= 64 and len(value) <= 128 for key, value in heard.metadata.items())
