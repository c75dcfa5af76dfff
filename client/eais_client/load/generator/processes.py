"""The processes that make load, as whoever asks for it sees them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, Self

from eais.errors import RemoteError
from eais_client.load.brain.plan import Closed, Driving, ModelLoad, Open, Phase
from eais_client.load.generator import orders
from eais_client.load.generator.counts import Counted, of_data
from eais_client.load.generator.usage import Meter
from eais_client.load.record import PhaseRecord, Seen, Usage
from eais_client.load.target import ServerTimes, TargetSpec
from eais_client.load.targets.seeing import server_side
from eais_client.signature import Signature

HEAD_START_S: Final = 0.1
"""Between the order for a phase and its begin, so that all processes begin together."""
CLOSES_WITHIN_S: Final = 15.0
_MODULE: Final = "eais_client.load.generator"

Told = Callable[["LiveCounts"], None]


class Live(Protocol):
    """Who changes the load of a phase while it is on, and must know of each request."""

    def begun(self, at: float) -> None:
        """The phase begins at that moment, monotonic seconds; it may be planned anew now."""
        ...

    def seen(self, requests: Sequence[Seen]) -> None:
        """What became of requests, some tenths of a second ago; from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class LiveCounts:
    """How far a phase is.

    Attributes:
        phase: which.
        target: whose, by name.
        second: since measuring began; negative while it warms up.
        counted: all so far; not to be changed, nor kept.
        usage: of the last second; None if none is over.
    """

    phase: Phase
    target: str
    second: float
    counted: Counted
    usage: Usage | None


class Line:
    """One process, and what it says."""

    def __init__(self, number: int, environ: Mapping[str, str] | None) -> None:
        self.number = number
        self.process = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=None if environ is None else dict(environ),
        )
        self._writing = threading.Lock()

    def say(self, order: str, **data: Any) -> None:
        """Give an order."""
        assert self.process.stdin is not None
        with self._writing:
            try:
                self.process.stdin.write(json.dumps({"do": order, **data}) + "\n")
                self.process.stdin.flush()
            except OSError:  # it is gone, which its end of output says, too
                return

    def heard(self) -> dict[str, Any]:
        """Its next line; raises RUN_FAILED if it has ended, or what hindered it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise RemoteError(
                "PROCESS_FAILED", f"process {self.number} of those that make load {_ended(code)}"
            )
        told: dict[str, Any] = json.loads(line)
        if told["tell"] == "error":
            raise orders.error_of(told)
        return told

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(CLOSES_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def _ended(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with {code}"


@dataclass
class Course:
    """A phase while it is on: what the processes have told so far."""

    record: PhaseRecord
    counted: Counted = field(default_factory=Counted)
    lock: threading.Lock = field(default_factory=threading.Lock)
    times: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


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
            line.close()
        self._lines = []

    def pids(self) -> list[int]:
        """Of the processes."""
        return [line.process.pid for line in self._lines]

    def prepare(self, folders: Mapping[str, Path]) -> None:
        """Have each model, by name, called with what `write_prepared` put into its folder."""
        self._all("prepare", folders={name: str(at) for name, at in folders.items()})

    def warm(self, target: int, calls: int) -> None:
        """Call each model of a target so often, one call after the other."""
        self._all("warm", target=target, calls=calls)

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
        begin = time.monotonic() + HEAD_START_S
        measured_from = begin + phase.warm_s
        name = self._targets[target].name
        began = time.time() + HEAD_START_S + phase.warm_s
        course = Course(PhaseRecord(name, phase, began, driving=self._driving))
        order = {
            "number": self._phases,
            "target": target,
            "phase": orders.phase_data(phase),
            "begin": begin,
            "of": len(self._lines),
            "live": live is not None,
        }
        for index, line in enumerate(self._lines):
            line.say("phase", index=index, **order)
        listening = [
            threading.Thread(target=_listen, args=(line, course, live), name="heard", daemon=True)
            for line in self._lines
        ]
        for thread in listening:
            thread.start()
        if live is not None:
            live.begun(begin)
        self._watch(course, target, listening, measured_from, told)
        return self._finished(course)

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
        heard = [line.heard() for line in self._lines]
        return heard[0]

    def _watch(
        self,
        course: Course,
        target: int,
        listening: Sequence[threading.Thread],
        measured_from: float,
        told: Told,
    ) -> None:
        """Look at both sides once a second, until all processes have said that it is over."""
        client, server, usage = Meter(), Meter(), None
        looked = time.monotonic()
        while any(thread.is_alive() for thread in listening):
            second = int(looked - measured_from) + 1
            for thread in listening:
                thread.join(max(0.0, measured_from + second - time.monotonic()))
            now = time.monotonic()
            side = server_side(self._targets[target])
            cpu_s, rss = client.cpu_and_memory(self.pids())
            server_cpu_s, server_rss = server.cpu_and_memory(side.pids)
            took, looked = max(now - looked, 1e-3), now
            course.record.server_unseen = side.why_not
            seen = bool(side.pids)
            usage = Usage(
                second - 1,
                cpu_s / took,
                rss / 1e6,
                server_cpu_s / took if seen else None,
                server_rss / 1e6 if seen else None,
            )
            course.record.usage.append(usage)
            with course.lock:
                told(
                    LiveCounts(
                        course.record.phase,
                        course.record.target,
                        now - measured_from,
                        course.counted,
                        usage,
                    )
                )

    def _finished(self, course: Course) -> PhaseRecord:
        record, counted = course.record, course.counted
        record.models = counted.models
        record.intervals = dict(sorted(counted.intervals.items()))
        record.lag, record.blocked = counted.lag, counted.blocked
        record.seconds = max(course.seconds, default=0.0)
        record.interrupted = self._stopped
        closed = isinstance(record.phase.load, Closed)
        for tally in counted.models.values():
            tally.due = tally.sent if closed else tally.due
            heard = tally.answered + tally.wrong + sum(tally.errors.values())
            tally.unanswered = max(0, tally.due - heard)
        for interval in counted.intervals.values():
            interval.due = interval.sent if closed else interval.due
            heard = interval.answered + interval.wrong + interval.failed
            interval.unanswered = max(0, interval.due - heard)
        record.server_parts = _server_parts(course.times)
        return record


def _listen(line: Line, course: Course, live: Live | None) -> None:
    """Take what a process tells of a phase, until it is over there."""
    while True:
        try:
            told = line.heard()
        except Exception as error:  # noqa: BLE001 - said with the phase: others go on
            with course.lock:
                course.record.faults.append(str(error))
            return
        if told["tell"] == "seen" and live is not None:
            live.seen([Seen(*each) for each in told["requests"]])
            continue
        with course.lock:
            if told["tell"] == "part":
                course.counted.add(of_data(told["counted"]))
                continue
            course.counted.add(of_data(told["left"]))
            course.seconds.append(told["seconds"])
            course.times |= told["times"]
            return


def _server_parts(times: Mapping[str, Any]) -> dict[str, float]:
    """Seconds a request, of all models, between two accounts of a server."""
    pairs = [(ServerTimes(**before), ServerTimes(**after)) for before, after in times.values()]
    requests = sum(after.requests - before.requests for before, after in pairs)
    if not requests:
        return {}

    def each(*names: str) -> float:
        spent = sum(
            getattr(after, name) - getattr(before, name)
            for before, after in pairs
            for name in names
        )
        return float(spent) / requests

    return {
        "queue": each("queue_s"),
        "compute": each("compute_input_s", "compute_s", "compute_output_s"),
    }
