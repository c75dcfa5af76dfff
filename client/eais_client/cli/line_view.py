"""Where an attach or start stands in line, as it goes on: a line whenever that changes."""

from __future__ import annotations

import json

from eais_client.cli.printer import Format, Printer
from eais_client.cli.progress import Progress, Silent
from eais_client.instances import InLine, Instance


class LineShown:
    """Told of an instance that waits: says its position on standard error, once each.

    On a terminal the progress says it; with `-o json` each is one object on one line.
    """

    def __init__(self, printer: Printer, progress: Progress) -> None:
        self._printer = printer
        self._progress = progress
        self._last: InLine | None = None

    def __call__(self, instance: Instance) -> None:
        """See `Waits`."""
        line = instance.line
        if line is None or line == self._last:
            return
        self._last = line
        if self._printer.format is Format.JSON:
            waits = {"instance": instance.id, "position": line.position, "of": line.length}
            self._printer.note(json.dumps({"waiting": waits}))
        elif isinstance(self._progress, Silent):
            self._printer.note(f"waiting: {line} ({instance.id})")
        else:
            self._progress.step(f"waiting: {line} ({instance.id})")
