"""What the runner runs: a call, or several of a kind as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from eais.errors import EaisError
from eais.transport.parts import RunPart
from eais_server.devices.driver import PreparedRun
from eais_server.worker.batching.fused import Outcome, run_together
from eais_server.worker.batching.kinds import CallKind
from eais_server.worker.execution import Execution, Result, size_of


@dataclass(eq=False, slots=True)
class Job:
    """A call that is queued or runs.

    Attributes:
        stream: whose turn it takes.
        frontend: whose stream that is.
        session: for the report, should it not stop.
        cost_s: how long it is expected to take a run thread.
        run: the call, with `buffers` for its deferred tensors.
        prepare: makes what runs it: once, and again should that have been ended on the event loop.
        finished: takes its result, on the event loop; not called for a job that was stopped
            while it waited.
        displaced: called instead when it lost its place to a call of a stream that has fewer,
            or waited too long.
        refuse: called when its session is quarantined; is to stop it and answer so.
        ready_ns: when all of it was here, as `Runner`'s clock says.
        ends_ns: when nobody waits for it any more; None: never.
        inline: whether it may run on the event loop.
        prepared: what runs it.
        began_s: when it was given a run thread, on the event loop's clock.
        kind: for `Batches`, once `kind_known`: what it has in common with others.
        batch: with which others it runs, if it does.
    """

    stream: Hashable
    frontend: Hashable
    session: str
    cost_s: float
    run: RunPart
    prepare: Callable[[], PreparedRun]
    finished: Callable[[Result], None]
    displaced: Callable[[], None]
    refuse: Callable[[EaisError], None]
    buffers: tuple[memoryview, ...] = ()
    ready_ns: int = 0
    ends_ns: int | None = None
    inline: bool = False
    prepared: PreparedRun = field(init=False)
    began_s: float = field(default=0.0, init=False)
    running: bool = field(default=False, init=False)
    grace: asyncio.TimerHandle | None = field(default=None, init=False)
    kind: CallKind | None = field(default=None, init=False)
    kind_known: bool = field(default=False, init=False)
    batch: Batch | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.prepared = self.prepare()

    @property
    def size(self) -> int:
        """Bytes of its inputs."""
        return size_of(self.run, self.buffers)

    def ran(self) -> None:
        """It runs no more."""
        self.running = False
        if self.grace is not None:
            self.grace.cancel()

    @property
    def share(self) -> int:
        """How many calls its run is shared by, itself among them."""
        return len(self.batch.jobs) if self.batch is not None else 1


@dataclass(eq=False, slots=True)
class Batch:
    """Calls that run as one.

    Attributes:
        prepared: what runs them together; each has its own too, should that fail.
        wanted: those whose answers somebody waits for.
    """

    kind: CallKind
    jobs: list[Job]
    prepared: PreparedRun
    wanted: set[Job] = field(init=False)

    def __post_init__(self) -> None:
        self.wanted = set(self.jobs)
        for job in self.jobs:
            job.batch = self

    @property
    def session(self) -> str:
        """What it runs."""
        return self.kind.session

    def run(self, execution: Execution, clock: Callable[[], int]) -> Outcome | None:
        """See `run_together`."""
        return run_together(execution, self.kind, self.jobs, self.prepared, clock)

    def run_apart(self, execution: Execution, clock: Callable[[], int]) -> list[Result]:
        """Run each alone, one after the other."""
        return [
            execution.run(job.run, job.buffers, job.prepared, clock() - job.ready_ns, job.ends_ns)
            for job in self.jobs
        ]

    def over(self) -> None:
        """All are answered: no cycle is to keep their tensors until the next collection."""
        for job in self.jobs:
            job.batch = None

    def left(self, job: Job) -> bool:
        """Nobody waits for the job any more; whether that is so of all of them."""
        self.wanted.discard(job)
        return not self.wanted
