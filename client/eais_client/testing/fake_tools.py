"""Time that moves when told to, and what a front-end works with besides its wire."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from eais_client.background import Tools


class FakeClock:
    """A clock that moves when told to, and when something sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move on by `seconds`."""
        self.slept.append(seconds)
        self.now += seconds


class FakeAlarm:
    """An alarm that `ring` sets off; with `jump` time jumps to it, so that nothing waits."""

    def __init__(self, clock: FakeClock, ring: Callable[[], None]) -> None:
        self.at = inf
        self.jump = False
        self._clock = clock
        self._ring = ring

    def start(self) -> None:
        """See `Alarm`."""

    def wake_at(self, at: float) -> None:
        """See `Alarm`."""
        self.at = min(self.at, at)
        if self.jump:
            self._clock.now = max(self._clock.now, self.at)
            self.ring()

    def close(self) -> None:
        """See `Alarm`."""
        self.at = inf

    def ring(self) -> None:
        """Say that it is time."""
        self.at = inf
        self._ring()


class FakeTools:
    """What a fake front-end works with: a fake clock, its alarms, background jobs run at once."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.alarms: list[FakeAlarm] = []

    def tools(self) -> Tools:
        """The tools, for `FrontEnd` and `Attachment`."""
        return Tools(
            spawn=lambda _name, job: job(),
            alarm=self._alarm,
            rng=lambda: 0.5,
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def jump(self) -> None:
        """From now on time jumps to whatever is waited for."""
        for alarm in self.alarms:
            alarm.jump = True

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and ring the alarms that are due."""
        self.clock.now += seconds
        for alarm in self.alarms:
            if alarm.at <= self.clock.now:
                alarm.ring()

    def _alarm(self, ring: Callable[[], None]) -> FakeAlarm:
        self.alarms.append(FakeAlarm(self.clock, ring))
        return self.alarms[-1]
