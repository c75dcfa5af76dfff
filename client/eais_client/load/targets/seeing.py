"""Which processes of this machine are a target's own."""

from __future__ import annotations

from eais_client.load.target import ServerSide, TargetSpec


def server_side(spec: TargetSpec) -> ServerSide:
    """What can be seen of `spec`'s processes from here; they may change."""
    return ServerSide(why_not=f"the processes of {spec.kind} targets aren't known")
