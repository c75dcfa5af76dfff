"""A target that answers at once: what is measured of it is the generator itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eais_client.load.brain.plan import ModelLoad
from eais_client.load.target import Feeds, ServerTimes, Split, TargetSpec
from eais_client.signature import NodeArg, Signature

SIGNATURE = Signature((NodeArg("x", [1], "tensor(float)"),), (NodeArg("x", [1], "tensor(float)"),))


class Null:
    """Its models give back their inputs."""

    def __init__(self, spec: TargetSpec) -> None:
        self.signature = SIGNATURE

    def open(self, model: ModelLoad, timeout_s: float) -> Null:
        """Itself."""
        return self

    def call(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """The inputs."""
        return list(feeds.values())

    async def call_async(self, feeds: Feeds, timeout_s: float) -> Sequence[Any]:
        """The inputs."""
        return list(feeds.values())

    def last_split(self) -> Split | None:
        """Nothing is known."""
        return None

    def about(self) -> Mapping[str, str]:
        """That it is none."""
        return {"null": "answers at once"}

    def server_times(self, model: ModelLoad) -> ServerTimes | None:
        """None are kept."""
        return None

    def close(self) -> None:
        """Nothing is held."""
