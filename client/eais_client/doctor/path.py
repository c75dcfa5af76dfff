"""Calls of a tiny model, for what the path to an instance carries: the data plane's own way."""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from eais.deadline import deadline
from eais.errors import DeadlineExceeded, EaisError
from eais_client.doctor.findings import Finding, ok, unknown
from eais_client.doctor.path_judging import Measured, Way, black_hole, judge
from eais_client.doctor.scene import Scene
from eais_client.vnic_ends import VnicEnds

if TYPE_CHECKING:
    from eais_client.session import InferenceSession

#: Two nodes, opset 13: s = Shape(x), so that a large x only goes there, and y = ConstantOfShape(c),
#: so that a large y only comes back.
MODEL: Final = b64decode(
    "CAcSADpxCg0KAXgSAXMiBVNoYXBlChcKAWMSAXkiD0NvbnN0YW50T2ZTaGFwZRIBZ1oQCgF4EgsKCQgBEgUKAxIBbloP"
    "CgFjEgoKCAgHEgQKAggBYg8KAXMSCgoICAcSBAoCCAFiEAoBeRILCgkIARIFCgMSAW1CBAoAEA0="
)
_SMALL_CALLS: Final = 20
_SMALL_S: Final = 5.0
#: Bytes of the first large call, of the largest, and seconds that a direction may take.
_FIRST: Final = 256 << 10
_MOST: Final = 32 << 20
_LARGE_S: Final = 5.0
_ENOUGH_S: Final = 0.3
_FLOAT: Final = 4
#: At work in the last ten seconds: less than calls that matter to somebody, more than ours were.
_IDLE_CORES: Final = 0.1


def vnic(scene: Scene) -> Finding | None:
    """Whether this host's end of the instance's vNIC is there; it is made anew where it isn't."""
    found = scene.instance
    if found is None or not found.vnic.is_kernels:
        return None
    ends = VnicEnds.of_config(scene.config)
    before = ends.here(found.vnic)
    ends.reach(found.vnic, again=True)
    scene.end = ends.here(found.vnic)
    interface = scene.end.interface if scene.end else "?"
    # Without an MTU its interface isn't there, though the agent has it in its books.
    was_there = before is not None and before.mtu
    mended = "" if was_there else ", which wasn't there, and is now"
    return ok(f"{interface}: {found.vnic.peer} to {found.vnic.address}{mended}")


def path(scene: Scene) -> Finding | None:
    """Round trip, MTU and bandwidth of the way to the instance, by calls."""
    found = scene.instance
    if found is None or found.listener is None:
        return None
    if found.activity is not None and found.activity.busy_cores > _IDLE_CORES:
        text = "calls are under way, which this would slow down"
        return unknown(text, "look again when there are none")
    vnic = found.vnic
    way = Way(vnic.driver, scene.end.mtu if scene.end else 0, vnic.cap_bytes_per_s)
    try:
        return ok(judge(way, (scene.measure or _measured)(scene)))
    except DeadlineExceeded:
        what = f"connections come through, and no call does in {_SMALL_S:g} s"
        raise black_hole(way, what) from None


def _measured(scene: Scene) -> Measured:
    from eais_client.frontend import FrontEnd, real_tools
    from eais_client.grpc_wire import GrpcWire
    from eais_client.session import InferenceSession

    assert scene.instance is not None
    wire = GrpcWire(scene.own.dialer, scene.context, VnicEnds.of_config(scene.config))
    frontend = FrontEnd(wire, scene.config, real_tools(scene.config))
    try:
        with deadline(_SMALL_S):
            session = InferenceSession(
                MODEL,
                provider_options=[{"instance": scene.instance.id}],
                providers=["CPUExecutionProvider"],
                transport="h2",
                fallback="",
                frontend=frontend,
            )
        return measured(session)
    finally:
        frontend.close()


def measured(session: InferenceSession) -> Measured:
    """What calls by `session` of `MODEL` take.

    Raises:
        EaisError: small calls don't come through.
    """
    times = sorted(_timed(session, "s", 1, 1, _SMALL_S) for _ in range(_SMALL_CALLS))
    up = _rate(lambda size: _timed(session, "s", size // _FLOAT, 1, _LARGE_S))
    down = _rate(lambda size: _timed(session, "y", 1, size // _FLOAT, _LARGE_S))
    return Measured(tuple(times), up, down)


def _rate(call: Callable[[int], float]) -> float:
    """Bytes a second, by calls that grow until one takes long enough; 0 if none comes through."""
    size, best = _FIRST, 0.0
    while True:
        try:
            took_s = call(size)
        except EaisError as error:
            if error.reason != "DEADLINE_EXCEEDED":
                raise
            return best
        best = size / took_s
        if took_s > _ENOUGH_S or size >= _MOST:
            return best
        size *= 4


def _timed(
    session: InferenceSession, output: str, there: int, back: int, timeout_s: float
) -> float:
    """Seconds of one call with so many values there, and so many back."""
    import numpy as np

    feed = {"x": np.zeros(there, np.float32), "c": np.array([back], np.int64)}
    began = time.perf_counter()
    with deadline(timeout_s):
        session.run([output], feed)
    return time.perf_counter() - began
