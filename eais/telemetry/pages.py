"""What every server process shows of itself on loopback. Needs prometheus-client."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from eais import files
from eais.telemetry import metrics as m
from eais.telemetry.exposition import Readings, render
from eais.telemetry.http import ADDRESS, Answer, LoopbackServer, Page, text
from eais.telemetry.places import PLACE_FILE
from eais.telemetry.readiness import Readiness

log = logging.getLogger(__name__)


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


async def start_kept(server: LoopbackServer, directory: Path, fixed: int) -> None:
    """Start it on the `fixed` port, else on the one of before; say so in `PLACE_FILE` there.

    Raises:
        ConfigError: PORT, the fixed one is taken.
    """
    path = directory / PLACE_FILE
    kept = _kept(path)
    port = await server.start(fixed, kept)
    if port != kept:
        try:
            files.replace_file(path, json.dumps({"address": ADDRESS, "port": port}).encode())
        except OSError as error:
            log.error("the port of the metrics can't be written down: %s", error)


def _kept(path: Path) -> int:
    """The port there; 0 if there is none."""
    try:
        port = json.loads(path.read_text())["port"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return port if isinstance(port, int) and 0 < port < 1 << 16 else 0
