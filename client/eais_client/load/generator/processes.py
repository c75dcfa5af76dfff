"""The processes that make load, as whoever asks for it sees them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Self

from eais.errors import EaisError
from eais_client.load.brain.plan import Driving, ModelLoad, Open, Phase
from eais_client.load.generator import orders
from eais_client.load.generator.course import Course, Live, LiveCounts, Told
from eais_client.load.generator.line import Line, ProcessEnded
from eais_client.load.record import PhaseRecord
from eais_client.load.target import TargetSpec
from eais_client.signature import Signature

__all__ = ["Generators", "Live", "LiveCounts", "ProcessEnded"]

HEAD_START_S: Final = 0.1
"""Between the order for a phase and its begin, so that all processes begin together."""


class Generators:
    """Processes that have all targets open, and make load on one of them at a time.

    Raises what hinders a target, or a model, from being opened; PROCESS_FAILED if a process ends.
    Used as a context: the processes end with it.
    """

    def __init__(
        self,
        targets: Sequence[TargetSpec],
        models: Sequence[ModelLoad],
        driving: Driving,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._targets = targets
        self._models = models
        self._driving = driving
        self._environ = environ
        self._lines: list[Line] = []
        self._drawn = Counter[int]()
        self._phases = 0
        self._stopped = False
        self.signatures: list[dict[str, Signature]] = []
        self.abouts: list[dict[str, str]] = []

    def __enter__(self) -> Self:
        try:
            for number in range(self._driving.processes):
                self._lines.append(Line(number, self._environ))
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        for line in self._lines:
            line.dismiss()
        for line in self._lines:
            line.close()
        self._lines = []

    def pids(self) -> list[int]:
        """Of the processes."""
        return [line.process.pid for line in self._lines]

    def prepare(self, folders: Mapping[str, Path]) -> None:
        """Have each model, by name, called with what `write_prepared` put into its folder."""
        self._all("prepare", folders={name: str(at) for name, at in folders.items()})

    def warm(self, target: int, calls: int) -> None:
        """Call each model of a target so often, one call after the other.

        What the target says of itself is asked again: some is known only then.
        """
        self.abouts[target] = self._all("warm", target=target, calls=calls)["about"]

    def stop(self) -> None:
        """End the phase that is on; may be called from anywhere, a signal's handler too."""
        self._stopped = True
        for line in self._lines:
            line.say("stop", number=self._phases)

    def replan(self, load: Open, seconds: float) -> float:
        """Of a live phase: ask `load` from a moment on, and end so many seconds after it.

        What is due before it is sent all the same. The moment, monotonic seconds.
        """
        moment = time.monotonic() + HEAD_START_S
        plan = {"number": self._phases, "begin": moment, "load": asdict(load), "seconds": seconds}
        for line in self._lines:
            line.say("replan", **plan)
        return moment

    def run(
        self,
        target: int,
        phase: Phase,
        told: Told = lambda _: None,
        live: Live | None = None,
    ) -> PhaseRecord:
        """Make a phase's load; what came of it.

        `told` is called about once a second, from this thread. With `live` the load, of an open
        loop, may be planned anew.
        """
        self._phases += 1
        self._stopped = False
        self._plan(phase, self._drawn[target])
        self._drawn[target] += 1
        begin = time.monotonic() + HEAD_START_S
        began = time.time() + HEAD_START_S + phase.warm_s
        record = PhaseRecord(self._targets[target].name, phase, began, driving=self._driving)
        course = Course(record, self._models, begin)
        for line in self._lines:
            line.say(
                "phase", number=self._phases, target=target, begin=begin, live=live is not None
            )
        listening = [
            threading.Thread(target=self._listen, args=(line, course, live), daemon=True)
            for line in self._lines
        ]
        for thread in listening:
            thread.start()
        if live is not None:
            live.begun(begin)
        course.watch(self._targets[target], self.pids(), listening, told)
        return course.finished(interrupted=self._stopped)

    def _listen(self, line: Line, course: Course, live: Live | None) -> None:
        """Take what a process tells of a phase, until it is over there."""
        try:
            while not course.told(line.heard(), live):
                pass
        except Exception as error:  # noqa: BLE001 - said with the phase: others go on
            course.lost(str(error), line.number, len(self._lines))

    def _plan(self, phase: Phase, drawn: int) -> None:
        """Have all know what they are to do, which may take a while, before it begins.

        `drawn`: how many loads were drawn for that target before. Each is drawn anew, so that
        chance evens out over them; the first of each target is the same, as is the second.
        """
        data, of = orders.phase_data(phase), len(self._lines)
        for index, line in enumerate(self._lines):
            line.say("plan", phase=data, index=index, of=of, drawn=drawn)
        heard = [line.answer() for line in self._lines]
        for each in heard:
            # Of a process that has ended the phase says so.
            if isinstance(each, EaisError) and not isinstance(each, ProcessEnded):
                raise each

    def _open(self) -> None:
        models = [asdict(each) for each in self._models]
        targets = [asdict(each) for each in self._targets]
        found = self._all("open", models=models, targets=targets, driving=asdict(self._driving))
        self.abouts = found["abouts"]
        self.signatures = [
            {name: orders.signature_of(each) for name, each in target.items()}
            for target in found["signatures"]
        ]

    def _all(self, order: str, **data: Any) -> dict[str, Any]:
        """Have all carry out an order; what the first of them told."""
        for line in self._lines:
            line.say(order, **data)
        heard = [line.answer() for line in self._lines]
        for each in heard:
            if isinstance(each, EaisError):
                raise each
        first: Any = heard[0]
        return dict(first)
