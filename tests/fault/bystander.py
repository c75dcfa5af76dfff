"""A caller that minds its own business on one long stream, and must never notice a row."""

from __future__ import annotations

import itertools
import queue
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper

from eais import tls
from eais.rpc import client, verbs
from eais.rpc.hello import hello
from eais.rpc.v1 import pool_pb2, value_pb2, worker_pb2
from eais.testing.values import encode_value
from eais.value import Deferred
from tests.system.raw import open_session
from tests.system.stack import Stack, op
from tests.unit.server.runtime import models

# In the other tenant's names, models and answers, and in nothing else.
CANARY = "zaunkoenig"
WEIGHT = 0.25


def own_model() -> bytes:
    """y = x + WEIGHT, float[2], whose every name has the canary."""
    x, y, w = (f"{CANARY}_{name}" for name in "xyw")
    weight = helper.make_tensor(w, TensorProto.FLOAT, [2], [WEIGHT] * 2)
    node = helper.make_node("Add", [x, w], [y], name=f"{CANARY}_node")
    return models.model(
        node, inputs=[models.info(x)], outputs=[models.info(y)], initializers=(weight,)
    )


class Bystander:
    """Another tenant with an instance, a session and a stream of its own."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._bundle = stack.frontend(CANARY, f"{CANARY}-host")
        request = pool_pb2.AttachRequest(op_id=op(), type="cpu.1")
        self.instance: pool_pb2.Instance = stack.ask(
            verbs.POOL_ATTACH, request, self._bundle
        ).instance
        self.session = open_session(
            _Own(stack.state, stack.config, stack.supervisor, self._bundle),
            self.instance,
            own_model(),
            {},
        ).id
        self._sent: queue.SimpleQueue[worker_pb2.ToWorker | None] = queue.SimpleQueue()
        self._ids = itertools.count(1)
        self._channel = stack.dial(self.instance.workers[0].endpoint, self._bundle)
        self._replies = client.stream(self._channel, verbs.WORKER_STREAM, self._messages())
        self._sent.put(worker_pb2.ToWorker(hello=hello("eais-test")))
        self.incarnation = next(self._replies).hello.incarnation
        self._sent.put(worker_pb2.ToWorker(hold=[self.session]))

    def _messages(self) -> Iterator[worker_pb2.ToWorker]:
        while message := self._sent.get():
            yield message

    def check(self) -> None:
        """One call on the same stream as ever has its own right answer."""
        number = next(self._ids)
        x = np.array([number, -number], np.float32)
        given = value_pb2.NamedValue(name=f"{CANARY}_x", value=encode_value(x, Deferred()))
        at = self.instance
        run = worker_pb2.Run(
            call_id=number, instance=at.id, epoch=at.epoch, session=self.session, inputs=[given]
        )
        self._sent.put(worker_pb2.ToWorker(runs=[run]))
        answer = next(self._replies).answers[0]
        assert answer.call_id == number
        assert not answer.HasField("error"), answer.error
        assert answer.outputs[0].tensor.raw == (x + np.float32(WEIGHT)).tobytes()

    def leave(self) -> None:
        """End the stream and detach."""
        self._sent.put(None)
        self._channel.close()
        request = pool_pb2.InstanceRequest(op_id=op(), instance=self.instance.id)
        self._stack.ask(verbs.POOL_DETACH, request, self._bundle)


@dataclass(frozen=True)
class _Own(Stack):
    """The same pool, whose front-end is another one."""

    own: tls.Bundle

    def frontend(self, tenant: str = "default", name: str = "owner") -> tls.Bundle:
        """That one's leaf, whoever is asked for."""
        return self.own
