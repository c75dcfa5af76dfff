"""Load that is on beside what else is done, and whose rate may be changed at any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from eais.errors import RemoteError
from eais_client.load.brain.plan import Open, Phase, Spacing, Stretch
from eais_client.load.brain.scenario_figures import cut
from eais_client.load.generator.processes import Generators, LiveCounts
from eais_client.load.record import PhaseRecord, Seen

BEGINS_WITHIN_S = 10.0


class Background:
    """An open loop on the first target of `generators`, made by a thread of its own.

    Args:
        phase: its name; the load is said by `change`.
        spacing, burst: of requests, as `plan.Open` has them.
        counts: told once a second, from that thread.
    """

    def __init__(
        self,
        generators: Generators,
        name: str,
        spacing: Spacing,
        burst: float,
        counts: Callable[[LiveCounts], None],
    ) -> None:
        self._generators = generators
        self._name = name
        self._load = Open(spacing, (), burst)
        self._counts = counts
        self._requests: list[Seen] = []
        self._heard = threading.Condition()
        self._thread: threading.Thread | None = None
        self._began = threading.Event()
        self._ended: PhaseRecord | Exception | None = None
        self._since = 0.0
        self._now: tuple[Stretch, ...] = ()
        self._before: tuple[Stretch, ...] = ()
        self._begin = 0.0
        self._shown = Phase(name, self._load, 0.0)

    @property
    def on(self) -> bool:
        """Whether load was begun, and not ended."""
        return self._thread is not None

    def check(self) -> None:
        """Raise PROCESS_FAILED if it should be on, and isn't."""
        if self._thread is not None and not self._thread.is_alive():
            record = self._joined()
            why = "; ".join(record.faults) or "its time is over"
            raise RemoteError("PROCESS_FAILED", f"the load ended by itself: {why}")

    def change(self, stretches: Sequence[Stretch], expected_s: float) -> float:
        """Ask this rate over time from a moment on; that moment, monotonic seconds.

        It ends when the last of them is over, unless it is changed before; `expected_s`: when it
        will be, for who watches.

        Raises:
            EaisError: PROCESS_FAILED, the processes that make load have ended.
        """
        plan, seconds = tuple(stretches), sum(each.seconds for each in stretches)
        load = replace(self._load, stretches=plan)
        if not self.on:
            self._start(Phase(self._name, load, seconds))
            moment = self._begin
        else:
            moment = self._generators.replan(load, seconds)
            self._before += cut(self._now, moment - self._since)
        self._since, self._now = moment, plan
        self._shown = Phase(self._name, load, moment - self._begin + expected_s)
        return moment

    def end(self) -> PhaseRecord:
        """Have nothing more due, wait for the answers; what was counted in all."""
        if self.on:
            moment = self._generators.replan(self._load, 0.0)
            self._before += cut(self._now, moment - self._since)
            self._now = ()
        return self._joined()

    def stop(self) -> PhaseRecord:
        """The same, but not for longer than a moment."""
        self._generators.stop()
        self._before += cut(self._now, time.monotonic() - self._since)
        self._now = ()
        return self._joined()

    def begun(self, at: float) -> None:
        """See `Live`."""
        self._begin = at
        self._began.set()

    def seen(self, requests: Sequence[Seen]) -> None:
        """See `Live`."""
        with self._heard:
            self._requests += requests
            self._heard.notify_all()

    def requests(self) -> list[Seen]:
        """What became of each request, as far as it is known."""
        with self._heard:
            return list(self._requests)

    def wait_heard(self, seconds: float) -> None:
        """Until more is known, or so long."""
        with self._heard:
            self._heard.wait(seconds)

    def _start(self, phase: Phase) -> None:
        self._began.clear()
        self._before, self._ended = (), None
        self._thread = threading.Thread(target=self._run, args=(phase,), name="load", daemon=True)
        self._thread.start()
        if not self._began.wait(BEGINS_WITHIN_S) or isinstance(self._ended, Exception):
            self._joined()

    def _run(self, phase: Phase) -> None:
        try:
            self._ended = self._generators.run(0, phase, self._told, live=self)
        except Exception as error:  # noqa: BLE001 - raised where the load is ended
            self._ended = error
            self._began.set()

    def _told(self, live: LiveCounts) -> None:
        # What it may last at most says little to people.
        self._counts(replace(live, phase=self._shown))

    def _joined(self) -> PhaseRecord:
        """Raises what the load was hindered by."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if isinstance(self._ended, PhaseRecord):
            asked = replace(self._load, stretches=self._before)
            seconds = self._ended.seconds
            self._ended.phase = Phase(self._name, asked, seconds)
            return self._ended
        if self._ended is not None:
            raise self._ended
        raise RemoteError("PROCESS_FAILED", "no load was on")
