"""What every server process shows of itself on loopback. Needs prometheus-client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from eais.telemetry import metrics as m
from eais.telemetry.exposition import Readings, render
from eais.telemetry.http import Answer, LoopbackServer, Page, text
from eais.telemetry.readiness import Readiness


def own_pages(
    readings: Readings, readiness: Readiness, more: Mapping[str, Page] | None = None
) -> LoopbackServer:
    """A server of /metrics, /livez and /readyz, not started.

    Args:
        readings: what the process counted, but for what all have.
        more: other pages, by path.
    """

    def collected() -> Iterable[m.Reading]:
        yield m.Reading(m.READY, int(readiness.is_ready()))
        yield from readings()

    def metrics(accept: str) -> Answer:
        return Answer(*render(collected, accept))

    def readyz(accept: str) -> Answer:
        reasons = readiness.why_not()
        return text("\n".join(reasons), 503) if reasons else text("ok")

    pages: dict[str, Page] = {
        "/metrics": metrics,
        "/livez": lambda accept: text("ok"),
        "/readyz": readyz,
    }
    return LoopbackServer({**pages, **(more or {})})
