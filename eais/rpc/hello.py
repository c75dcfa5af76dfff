"""Hello: the first message on every channel and stream, and its check."""

from __future__ import annotations

from typing import Final

from eais import __version__
from eais.errors import UsageError
from eais.rpc.v1 import common_pb2

WIRE_VERSION: Final = 1


def hello(software: str) -> common_pb2.Hello:
    """This program's Hello; `software` is a role such as "eais-client"."""
    return common_pb2.Hello(version=WIRE_VERSION, software=f"{software}/{__version__}")


def hello_reply(software: str, incarnation: int = 0) -> common_pb2.HelloReply:
    """This program's answer to Hello; `incarnation` is a worker's."""
    return common_pb2.HelloReply(
        version=WIRE_VERSION, software=f"{software}/{__version__}", incarnation=incarnation
    )


def check_version(message: common_pb2.Hello | common_pb2.HelloReply) -> None:
    """Refuse a peer of another wire version with VERSION_UNSUPPORTED."""
    if message.version != WIRE_VERSION:
        raise UsageError(
            "VERSION_UNSUPPORTED",
            f"wire version {message.version} is not served; supported={WIRE_VERSION}",
            metadata={"supported": str(WIRE_VERSION)},
        )
