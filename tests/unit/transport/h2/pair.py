"""Two engines that talk to each other, and what each of them heard."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from eais.transport.h2 import Engine, Event, H2Limits, Role

Split = Callable[[bytes], list[bytes]]
Kind = TypeVar("Kind")

_ROUNDS = 100_000


def whole(data: bytes) -> list[bytes]:
    return [data] if data else []


class Pair:
    """A client's engine and a server's, each other's peer."""

    def __init__(
        self,
        client: H2Limits | None = None,
        server: H2Limits | None = None,
        split: Split = whole,
    ) -> None:
        self.client = Engine(Role.CLIENT, client or H2Limits())
        self.server = Engine(Role.SERVER, server or H2Limits())
        self.at_client: list[Event] = []
        self.at_server: list[Event] = []
        self.now_s = 0.0
        self._split = split
        self.client.begin(self.now_s)
        self.server.begin(self.now_s)
        self.talk()

    def talk(self, most: int = 256 << 10) -> None:
        """Carry bytes both ways until both are silent."""
        for _ in range(_ROUNDS):
            up = b"".join(self.client.output(most))
            for piece in self._split(up):
                self.at_server += self.server.receive(piece, self.now_s)
            down = b"".join(self.server.output(most))
            for piece in self._split(down):
                self.at_client += self.client.receive(piece, self.now_s)
            if not up and not down:
                return
        raise AssertionError("the engines never fell silent")

    def call(self, path: str = "/t.S/Verb", timeout_s: float | None = None) -> int:
        """Open a stream that the server has heard of."""
        given = [] if timeout_s is None else [("grpc-timeout", f"{round(timeout_s * 1000)}m")]
        stream = self.client.call(path, given)
        self.talk()
        return stream

    def heard(self, kind: type[Kind], *, by_client: bool = False) -> list[Kind]:
        """What one side heard of this kind; the server's by default."""
        return [e for e in (self.at_client if by_client else self.at_server) if isinstance(e, kind)]
