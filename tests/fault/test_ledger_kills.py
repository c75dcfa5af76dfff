"""kill -9 of worker, listener and manager at random points: counted = answered, charged = held.

Clients call two models on two instances without a pause, and count their answers. After so many
answers, by lot, a process is killed; between that an instance is given back and another taken. In
the end the ledger is compared with what the clients have seen.

A worker counts an answer just before it leaves. One that is killed between the two has counted an
answer that nobody got; its client sends the call again, and both are counted. So there may be as
many more counted as calls were sent again, or failed, and never fewer.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import eais
from benchmarks.faults.processes import titled
from eais.errors import EaisError
from eais.rpc import verbs
from eais.rpc.v1 import ledger_pb2, pool_pb2
from eais_client.frontend import frontend_of
from eais_pool.store import Store
from tests.system.stack import Stack, embedded_pool, eventually, op
from tests.system.test_spine import OWN, feeds_of

SEED = int(os.environ.get("EAIS_TEST_LEDGER_SEED", "7"))
KILLS = int(os.environ.get("EAIS_TEST_LEDGER_KILLS", "8"))
MODELS = ("mul_1.onnx", "sigmoid.onnx")
WORKER = "eais-worker"
STEP_ANSWERS = (50, 400)
CLOCKS_S = 1.0
"""Between a client's look at the clock and the moment that the pool writes down."""

Key = tuple[str, str]
"""Instance and model's file."""


@dataclass
class Answers:
    """What clients got; changed under `lock` alone."""

    got: Counter[Key] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    lock: threading.Condition = field(default_factory=threading.Condition)

    def add(self, key: Key) -> None:
        with self.lock:
            self.got[key] += 1
            self.lock.notify_all()

    def fail(self, instance: str) -> None:
        with self.lock:
            self.failed[instance] += 1

    def more(self, number: int) -> None:
        """Wait until so many more were got."""
        with self.lock:
            due = self.got.total() + number
            assert self.lock.wait_for(lambda: self.got.total() >= due, 60), "no more answers"


@contextmanager
def calling(instance: str, answers: Answers) -> Iterator[None]:
    """Call each model on the instance without a pause, in a thread of its own."""
    over = threading.Event()

    def call(model: str) -> None:
        options = [{"instance": instance}]
        session = eais.InferenceSession(str(OWN / model), provider_options=options)
        feeds = feeds_of(session, 1)
        while not over.is_set():
            try:
                session.run(None, feeds)
            except EaisError:
                answers.fail(instance)
            else:
                answers.add((instance, model))

    threads = [threading.Thread(target=call, args=(model,)) for model in MODELS]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a call hangs"


def kill(stack: Stack, title: str) -> None:
    found = titled(stack.supervisor.pid, title)
    if found is not None:  # it may be just coming back from the last one
        found.send(signal.SIGKILL)


def drawn(chance: random.Random) -> list[str]:
    """What is killed next, the last first."""
    victims = [WORKER, WORKER, "eais-listener", "eais-manager"]
    chance.shuffle(victims)
    return victims


def attached(stack: Stack) -> str:
    return str(retried(stack, verbs.POOL_ATTACH, pool_pb2.AttachRequest(op_id=op(), type="cpu.1")))


def detached(stack: Stack, instance: str) -> None:
    retried(stack, verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=instance))


def retried(stack: Stack, verb: Any, request: Any) -> str:
    """The instance that the answer names, asked until a manager is there that answers."""

    def ask() -> str | None:
        try:
            return str(stack.ask(verb, request).instance.id)
        except (EaisError, OSError, ValueError) as error:
            if isinstance(error, EaisError) and not error.retryable:
                raise
            return None

    return eventually(ask, "the manager answers")


def used(stack: Stack, by: Iterable[str]) -> list[ledger_pb2.UsageLine]:
    request = ledger_pb2.UsageRequest(since_s=3600, by=list(by))
    return list(stack.ask(verbs.LEDGER_USAGE, request).lines)


@dataclass
class Held:
    """When an instance was held for certain, and at most; seconds, monotonic."""

    asked: float
    had: float
    given: float = 0.0
    gone: float = 0.0


def test_after_kills_at_random_points_counted_is_answered_and_charged_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    answers, held, killed = Answers(), dict[str, Held](), Counter[str]()
    victims = list[str]()
    excess = dict[str, int]()
    with embedded_pool(tmp_path) as stack:
        monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))

        def begin() -> str:
            asked = time.monotonic()
            made = attached(stack)
            held[made] = Held(asked, time.monotonic())
            return made

        def end(instance: str) -> None:
            held[instance].given = time.monotonic()
            detached(stack, instance)
            held[instance].gone = time.monotonic()

        stays = begin()
        with calling(stays, answers):
            for _ in range(2):
                passes = begin()
                with calling(passes, answers):
                    for _ in range(KILLS // 2):
                        answers.more(chance.randint(*STEP_ANSWERS))
                        victims = victims or drawn(chance)
                        victim = victims.pop()
                        killed[victim] += 1
                        of = f" {chance.choice((stays, passes))}" if victim == WORKER else ""
                        kill(stack, victim + of)
                    answers.more(chance.randint(*STEP_ANSWERS))
                eventually(stack.joined, "the listener is back")
                end(passes)
        eventually(stack.joined, "the listener is back")
        again = frontend_of(os.environ).turnover().retries + answers.failed.total()
        end(stays)
        counted = {line.instance: line.requests for line in used(stack, ["instance"])}
        by_model = used(stack, ["instance", "model"])
        charged = {line.instance: line.device_s for line in used(stack, ["instance"])}
    got = Counter[str]()
    for (instance, _), number in answers.got.items():
        got[instance] += number
    excess = {instance: counted[instance] - got[instance] for instance in held}
    with capsys.disabled():
        print(
            f"\nseed {SEED}: killed {dict(killed)}; answered {got.total()}, counted "
            f"{sum(counted.values())}; sent again or failed {again}; more than answered {excess}"
        )
    assert all(more >= 0 for more in excess.values()), excess
    assert sum(excess.values()) <= again, excess
    check_models(answers, by_model, again)
    check_charges(tmp_path, held, charged)


def check_models(answers: Answers, lines: list[ledger_pb2.UsageLine], again: int) -> None:
    """What was counted of each model is what was answered of it; nothing is of no model."""
    models = defaultdict[str, list[int]](list)
    for line in lines:
        if line.requests:
            assert len(line.model) == 64, line
            models[line.instance].append(line.requests)
    for instance, numbers in models.items():
        due = sorted(number for (owner, _), number in answers.got.items() if owner == instance)
        assert len(numbers) == len(due)
        between = zip(sorted(numbers), due, strict=True)
        assert all(0 <= number - least <= again for number, least in between)


def check_charges(root: Path, held: dict[str, Held], charged: dict[str, float]) -> None:
    """Rows follow each other without a gap or an overlap, from the attach to the detach."""
    (journal,) = root.rglob("journal.sqlite")
    store = Store(journal)
    store.replay()
    rows = [row for row in store.ledger_rows() if row.device_s]
    store.close()
    for instance, when in held.items():
        own = sorted((row for row in rows if row.instance == instance), key=lambda r: r.began)
        assert own, instance
        assert all(one.ended == other.began for one, other in pairwise(own)), own
        share_s = sum((row.ended - row.began) * row.milli / 1000 for row in own)
        assert charged[instance] == pytest.approx(share_s, abs=1e-6)
        assert when.given - when.had - CLOCKS_S <= share_s <= when.gone - when.asked + CLOCKS_S
