"""kill -9 of the manager at each step of a ratio change, of falling asleep and of waking.

A real manager dies at each point in turn and is started again by its supervisor, while a listener,
its workers and the calls of a real session go on. Each time the instance gets where it was to
go: to one state with no worker left over, no call lost, and each share charged once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import eais
from eais.errors import EaisError
from eais.rpc.v1 import pool_pb2
from eais_pool.store import Store
from tests.system.stack import Stack, embedded_pool, eventually
from tests.system.test_ratio import (
    CONFIG,
    LONG_S,
    SLO_US,
    Load,
    attached,
    detach,
    measured,
    model_of_some_ms,
)

#: What dies, the how manieth time: other shares are asked for; they are listed; they serve, and
#: what they replace is taken back; that is gone.
GROWING = (
    ("ratio_chosen", 1),
    ("workers_changed", 1),
    ("workers_changed", 2),
    ("workers_changed", 3),
)
SLEEPING = (("ratio_chosen", 1), ("released", 1))
WAKING = (("instance_needed", 1), ("grant_accepted", 1))
#: received, decided and written leave the same behind, as do committed and applied.
STEPS = ("written", "committed", "said")
CAPACITY_MILLI = {"cpu": 1000, "gpu": 3000}


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    points = tmp_path / "point"
    points.write_text("")
    with embedded_pool(tmp_path, CONFIG, failpoints=points) as stack:
        monkeypatch.setenv("EAIS_CONFIG_DIR", str(stack.config))
        yield stack


class Mortal:
    """A pool whose manager dies at named points, and its one instance."""

    def __init__(self, stack: Stack, points: Path, instance: str) -> None:
        self._stack = stack
        self._points = points
        self.instance = instance

    def die_at(self, what: str, times: int, step: str) -> None:
        self._points.write_text(" ".join([f"{what}.{step}"] * times))

    def died(self) -> bool:
        """It has, at the point named last: it takes the name away with its last breath."""
        return not self._points.read_text()

    def disarmed(self) -> bool:
        """Let it live from now on; whether it had died."""
        died = self.died()
        self._points.write_text("")
        return died

    def shown(self) -> pool_pb2.Instance | None:
        """The instance; None while the manager is away."""
        try:
            return self._stack.instance(self.instance)
        except (EaisError, OSError, KeyError, ValueError):
            return None

    def shares(self) -> list[tuple[str, str, str]] | None:
        """All that is held: (kind, instance, state); None while host or manager is away."""
        try:
            status = self._stack.status()
        except (EaisError, OSError, KeyError, ValueError):
            return None
        if not all(host.reachable for host in status.hosts):
            return None
        return [
            (device.device.kind, use.instance, use.state)
            for device in status.devices
            for use in device.shares
        ]

    def has(self, kind: str) -> bool | None:
        """Its workers are of that kind, all of them serve, and nothing else is held."""
        shown, shares = self.shown(), self.shares()
        if shown is None or shares is None or not shown.workers:
            return None
        workers = all(each.kind == kind and each.serving for each in shown.workers)
        held = all(
            of_kind == kind and whose == self.instance and state == "GRANTED"
            for of_kind, whose, state in shares
        )
        return True if workers and held and len(shares) == len(shown.workers) else None

    def sleeps(self) -> bool | None:
        """It is scaled to zero, and nothing is held."""
        shown, shares = self.shown(), self.shares()
        asleep = shown and shown.ratio.asleep and not shown.workers and shares == []
        return True if asleep else None


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_death_at_each_step_leaves_one_state_no_worker_over_and_no_call_lost(
    pool: Stack, tmp_path: Path, step: str
) -> None:
    model = model_of_some_ms(tmp_path / "chain.onnx")
    call_s = measured(pool, model)
    made = attached(pool, "auto", slo_p99_us=SLO_US, ratio=pool_pb2.RatioPolicy(ratio="auto"))
    mortal, lived = Mortal(pool, tmp_path / "point", made.id), []
    with eais.InferenceSession(str(model), provider_options=[{"instance": made.id}]) as session:
        load = Load(session, model)
        turns = zip(GROWING, itertools.cycle(SLEEPING), itertools.cycle(WAKING), strict=False)
        for growing, sleeping, waking in turns:
            mortal.die_at(*growing, step)
            for _ in range(2):  # it may have died after what was looked at
                grown = load.go_on(2 / call_s, LONG_S, lambda: mortal.has("gpu"))
                assert grown, (growing, mortal.shown(), mortal.shares(), pool.logs())
            lived += [] if mortal.disarmed() else [growing]
            eventually(load.all_heard, "all calls are answered", LONG_S)
            mortal.die_at(*sleeping, step)
            eventually(mortal.sleeps, f"it sleeps after {sleeping}", LONG_S)
            lived += [] if mortal.disarmed() else [sleeping]
            mortal.die_at(*waking, step)
            load.call()
            eventually(load.all_heard, f"the call is answered after {waking}", LONG_S)
            eventually(lambda: mortal.has("cpu"), f"it is awake after {waking}", LONG_S)
            lived += [] if mortal.disarmed() else [waking]
        assert (load.lost, load.wrong) == (0, 0), load.errors
    # Its host may tell of a worker's beginning and of its serving in one word, and its controller
    # may see the call that waits before the front-end has said that it is wanted.
    assert set(lived) <= {("workers_changed", 3), ("instance_needed", 1)}
    detach(pool, made.id)
    eventually(lambda: mortal.shares() == [] or None, "nothing is held", LONG_S)
    assert not list((pool.state / "listener" / "leases").glob("*.json"))
    pool.supervisor.terminate()  # its journal is for one at a time
    pool.supervisor.wait(LONG_S)
    charged_once(pool.state, made.id)


def charged_once(state: Path, instance: str) -> None:
    """While it was up, without a gap, and share for share not above what the devices are."""
    store = Store(state / "manager" / "journal.sqlite")
    store.replay()
    rows: list[Any] = [row for row in store.ledger_rows() if row.instance == instance]
    store.close()
    held = [row for row in rows if row.device_s]
    epochs = {row.epoch: [each for each in held if each.epoch == row.epoch] for row in held}
    assert len(epochs) > len(GROWING)
    ended = 0.0
    for epoch in sorted(epochs):
        lines = sorted(epochs[epoch], key=lambda row: row.began)
        assert lines[0].began >= ended, "the epoch before was charged for still"
        ended = lines[0].began
        for line in lines:
            assert line.device_s == pytest.approx((line.ended - line.began) * line.milli / 1000)
            assert line.began <= ended, f"nothing was charged for until {line}"
            ended = max(ended, line.ended)
    for at in {row.began for row in held}:
        now = [row for row in held if row.began <= at < row.ended]
        assert len({row.kind for row in now}) == 1, "the old and the new were charged for"
        assert sum(row.milli for row in now) <= CAPACITY_MILLI[now[0].kind]
