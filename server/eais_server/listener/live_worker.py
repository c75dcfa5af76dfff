"""A worker that was started and whose exit wasn't told yet, as its listener holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from eais_server.control import AsyncControl
from eais_server.in_flight import InFlight
from eais_server.listener.usage import Counters
from eais_server.process import Exit, WorkerProcess


@dataclass(slots=True)
class LiveWorker:
    """A process, its socket once that is open, and the folders of its loads.

    `answered`: session -> runs that gave outputs, as they were looked at last.
    `metrics_port`: of its metrics, on loopback; 0 before it is adopted.
    `adopted_at`, `beat_at`: when it was told to be, and when it said so last; 0: never.
    `stopped`: somebody had stopped it when it was killed here.
    `starves`: it is silent, and was found to wait for a CPU.
    `buried`: set when the supervision knows of its exit.
    """

    process: WorkerProcess
    exit: asyncio.Future[Exit]
    control: AsyncControl | None = None
    folders: dict[str, str] = field(default_factory=dict)
    answered: Mapping[str, int] = field(default_factory=dict)
    stopped: bool = False
    starves: bool = False
    metrics_port: int = 0
    adopted_at: float = 0.0
    beat_at: float = 0.0
    buried: asyncio.Event = field(default_factory=asyncio.Event)

    def look(self) -> tuple[InFlight, tuple[str, ...]]:
        """What it says that it does, and in which sessions runs gave outputs since last time."""
        found, before = self.process.page.look(), self.answered
        self.answered = found.finished
        more = (s for s, count in found.finished.items() if count and count != before.get(s))
        return found, tuple(more)

    @property
    def page_name(self) -> str:
        """Of what it counts; "" if it isn't some lease's, or tells it in its heartbeats alone."""
        return self.process.counts.name if self.process.counts else ""

    def counts_for(self, instance: str, epoch: int) -> None:
        """What it counts is that lease's, for the next listener too; OSError."""
        if self.process.counts:
            self.process.counts.assign(instance, epoch)

    def counted(self, said: Counters) -> Counters:
        """What it has counted: of `said` only what its page doesn't say, if it has one."""
        page = self.process.counts
        return replace(Counters.of_page(page.look()), latency=said.latency) if page else said

    def close_pages(self) -> None:
        """It has exited, and all was read."""
        self.process.page.close()
        if self.process.counts:
            self.process.counts.close()

    def is_ending(self) -> bool:
        """Whether it has died, or is about to, for all that can be seen from here."""
        return self.exit.done() or (self.control is not None and self.control.has_ended())
