"""The three phases: dying workers and listener, dying manager, frozen worker and listener."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import eais
from benchmarks.faults.model import SMALL, Question, model
from benchmarks.faults.processes import Process
from benchmarks.faults.stand import GIVE_UP_S, Stand, pause
from eais.errors import EaisError

WORKER_EVERY_S = 2.0
MANAGER_EVERY_S = 5.0
SESSION_EVERY_S = 1.0


def dying_workers(stand: Stand, seconds: float) -> None:
    """The worker is killed every 2 s; half-way the listener, once."""
    beat = _Beat(seconds, WORKER_EVERY_S)
    while beat.next():
        if beat.past_half and not stand.figures.listener_ms:
            _kill_listener(stand)
        else:
            stand.kill_worker()


def _kill_listener(stand: Stand) -> None:
    """Its workers end with it, so no answer of theirs counts as recovery."""
    worker = stand.worker().send(0)
    sent = stand.wait_for("eais-listener").send(signal.SIGKILL)
    stand.figures.listener_ms.append(stand.recovery_ms(sent, sent, worker))


def dying_manager(stand: Stand, seconds: float) -> None:
    """The manager is killed every 5 s; once it stays away while a worker is killed."""
    lost_before = stand.callers.tally.errors.copy()
    with _sessions_come_and_go(stand):
        beat, held_down = _Beat(seconds, MANAGER_EVERY_S), False
        while beat.next():
            if beat.past_half and not held_down:
                held_down = True
                _kill_worker_without_manager(stand)
            else:
                _kill_manager(stand)
    stand.figures.manager_errors.update(stand.callers.tally.errors - lost_before)


def _kill_manager(stand: Stand) -> None:
    sent = stand.wait_for("eais-manager").send(signal.SIGKILL)
    sent.exited_s(GIVE_UP_S)
    sent.close()
    stand.figures.manager_kills += 1
    stand.wait_until(lambda: stand.hosts() is not None, "an answer of the manager")
    stand.figures.manager_ms.append((time.monotonic() - sent.at_s) * 1000)


def _kill_worker_without_manager(stand: Stand) -> None:
    """A frozen supervisor can't bring the manager back, so that it surely is away."""
    supervisor = Process(stand.stack.supervisor.pid, "eais-supervisor").send(signal.SIGSTOP)
    try:
        killed = stand.wait_for("eais-manager").send(signal.SIGKILL)
        killed.exited_s(1.0)
        killed.close()
        stand.figures.manager_kills += 1
        stand.kill_worker()
    finally:
        supervisor.go_on()
        supervisor.close()


@contextmanager
def _sessions_come_and_go(stand: Stand) -> Iterator[None]:
    """Meanwhile a session is opened, used and closed every second: each failure is counted."""
    stop = threading.Event()
    thread = threading.Thread(target=_open_sessions, args=(stand, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _open_sessions(stand: Stand, stop: threading.Event) -> None:
    question, made = Question(1 << 50, SMALL), model()
    while not stop.wait(SESSION_EVERY_S):
        try:
            with eais.InferenceSession(made) as session:
                right = question.answers(session.run(None, question.feeds))
        except EaisError as error:
            stand.figures.manager_errors[f"session: {error.reason}: {error}"[:200]] += 1
        else:
            stand.figures.manager_errors["session: wrong"] += not right


def frozen_peers(stand: Stand, seconds: float) -> None:
    """A worker, then the listener, is stopped by SIGSTOP, again and again; at last for good."""
    end = time.monotonic() + seconds
    while time.monotonic() < end or not stand.figures.listener_freeze_ms:
        _freeze_worker(stand)
        pause(2.0)
        _freeze_listener(stand)
        pause(2.0)
    _freeze_listener_for_good(stand)


def _freeze_worker(stand: Stand) -> None:
    """Found when the listener has ended it."""
    sent = stand.worker().send(signal.SIGSTOP)
    try:
        seen = sent.exited_s(GIVE_UP_S) or time.monotonic()
        stand.figures.worker_freeze_ms.append((seen - sent.at_s) * 1000)
    finally:
        sent.go_on()
        sent.close()
    stand.callers.tally.answered_since(seen, GIVE_UP_S)


def _freeze_listener(stand: Stand) -> None:
    """Found when the manager says that its host can't be reached; then it wakes up."""
    listener = stand.wait_for("eais-listener")
    stand.wait_until(stand.reachable, "a listener that the manager reaches")
    sent = listener.send(signal.SIGSTOP)
    try:
        stand.wait_until(lambda: stand.hosts() == [False], "the manager to miss the listener")
        stand.figures.listener_freeze_ms.append((time.monotonic() - sent.at_s) * 1000)
    finally:
        sent.go_on()
        sent.close()
    stand.wait_until(stand.reachable, "the listener to be back")


def _freeze_listener_for_good(stand: Stand) -> None:
    """The supervisor's watchdog ends it; its workers, which served on, end with it."""
    worker = stand.worker().send(0)
    sent = stand.wait_for("eais-listener").send(signal.SIGSTOP)
    stand.figures.listener_freeze_recovery_ms.append(stand.recovery_ms(sent, sent, worker))
    stand.wait_until(stand.reachable, "the listener to be back")


class _Beat:
    """Times to do something at, for `seconds`, one every `every_s`; late ones are left out."""

    def __init__(self, seconds: float, every_s: float) -> None:
        self._began_s = self._next_s = time.monotonic()
        self._seconds, self._every_s = seconds, every_s

    @property
    def past_half(self) -> bool:
        """Whether half of the phase is over."""
        return time.monotonic() >= self._began_s + self._seconds / 2

    def next(self) -> bool:
        """Wait for the next time; False when the phase is over."""
        now = time.monotonic()
        while self._next_s <= now - self._every_s:
            self._next_s += self._every_s
        self._next_s += self._every_s
        if self._next_s > self._began_s + self._seconds:
            return False
        pause(self._next_s - now)
        return True
