"""Calls that begin and then neither go on nor end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from eais.rpc import verbs


@contextmanager
def open_for_long() -> Iterator[Callable[[list[Any]], Iterator[Any]]]:
    """Makes requests of calls that send some messages and then neither go on nor end."""
    over = threading.Event()

    def requests(messages: list[Any]) -> Iterator[Any]:
        yield from messages
        over.wait(120)

    try:
        yield requests
    finally:
        over.set()


def pushing(line: grpc.Channel, requests: Iterator[Any]) -> Any:
    """A push that goes on while the test does something else."""
    verb = verbs.LISTENER_PUSH
    stub = line.stream_unary(verb.path, lambda m: m.SerializeToString(), verb.reply.FromString)
    return stub.future(requests, timeout=120)
