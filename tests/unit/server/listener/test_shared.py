"""What the listener tells those who keep turns, and what it makes of what they tell."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from eais.device_type import DeviceKind
from eais.rpc.v1 import supervision_pb2
from eais_server.devices.sim import SimDriver
from eais_server.in_flight import Page
from eais_server.listener.inventory import Inventory
from eais_server.listener.lease import Share
from eais_server.listener.shared import SharedDevices
from eais_server.process import WorkerProcess
from eais_server.supervision import events as on
from eais_server.turns.brain import actions as do
from eais_server.turns.page import Seat
from eais_server.turns.table import Told, Worker

Run = Callable[[Coroutine[Any, Any, None]], None]


class NotingKeeper:
    """Keeps no turns."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.orders: list[tuple[object, ...]] = []

    def start(self) -> None:
        self.orders.append(("start",))

    def close(self) -> None:
        self.orders.append(("close",))

    def join(self, worker: Worker) -> None:
        os.close(worker.pidfd)
        self.orders.append(("join", worker.id, worker.device, worker.weight))

    def leave(self, number: int) -> None:
        self.orders.append(("leave", number))

    def excuse(self, number: int, *, excused: bool) -> None:
        self.orders.append(("excuse", number, excused))

    def new(self) -> list[tuple[object, ...]]:
        found, self.orders = self.orders, []
        return found


class Bench:
    """A listener with a simulated GPU."""

    def __init__(self) -> None:
        self.heard: list[on.Event] = []
        self.inventory = Inventory({"sim": SimDriver({DeviceKind.GPU: 1})})
        self.shared = SharedDevices(self.inventory, self.heard.append, self._keep)
        self.shared.start()
        assert self.keeper.new() == [("start",)]

    def _keep(self, told: Told) -> Any:
        self.keeper = NotingKeeper(told)
        return self.keeper

    def adopted(self, k: int, milli: int) -> WorkerProcess:
        near, far = socket.socketpair()
        near.close()
        far.close()
        process = WorkerProcess(
            k, os.getpid(), os.pidfd_open(os.getpid()), near, Path("/nowhere"), Page(), Seat()
        )
        share = self.inventory.reserve_share("ei-1", Share(k, "sim-gpu0", milli))
        adopt = supervision_pb2.Adopt(instance="ei-1", n=k, turns=bool(share.turns))
        self.shared.adopted(adopt, process)
        os.close(process.pidfd)
        process.page.close()
        return process


def test_a_worker_with_a_part_of_a_device_takes_turns_until_its_exit(run: Run) -> None:
    async def test() -> None:
        bench = Bench()
        process = bench.adopted(3, 250)
        bench.shared.gone(process)
        assert bench.keeper.new() == [("join", 3, "sim-gpu0", 250), ("leave", 3)]
        process.seat.close()

    run(test())


def test_a_worker_with_a_whole_device_takes_none(run: Run) -> None:
    async def test() -> None:
        bench = Bench()
        process = bench.adopted(3, 1000)
        bench.shared.loads(3, loading=True)
        bench.shared.missed(3)
        assert not bench.shared.was_held_up(3)
        bench.shared.gone(process)
        bench.shared.close()
        assert bench.keeper.new() == [("close",)]

    run(test())


def test_one_that_loads_is_excused_once(run: Run) -> None:
    async def test() -> None:
        bench = Bench()
        process = bench.adopted(3, 250)
        bench.keeper.new()
        for loading in (False, True, True, False):
            bench.shared.loads(3, loading=loading)
        assert bench.keeper.new() == [("excuse", 3, True), ("excuse", 3, False)]
        process.seat.close()

    run(test())


def test_the_supervision_hears_of_a_kill_and_of_nothing_else(run: Run) -> None:
    async def test() -> None:
        bench = Bench()
        process = bench.adopted(3, 250)
        for action in (do.Withhold(3, "why"), do.Stop(3), do.Kill(3), do.Kill(4)):
            await asyncio.to_thread(bench.keeper.told, action)
        await asyncio.sleep(0)
        assert bench.heard == [on.WorkerOverran(3)]
        process.seat.close()

    run(test())


def test_silence_of_one_that_is_stopped_for_its_debt_is_known_for_that(run: Run) -> None:
    async def test() -> None:
        bench = Bench()
        process = bench.adopted(3, 250)
        bench.shared.missed(3)
        assert not bench.shared.was_held_up(3)
        bench.keeper.told(do.Stop(3))
        await asyncio.sleep(0)
        assert bench.shared.is_stopped(3)
        bench.keeper.told(do.Resume(3))
        await asyncio.sleep(0)
        assert not bench.shared.is_stopped(3)
        assert bench.shared.was_held_up(3), "it could hardly speak since"
        bench.shared.missed(3)
        assert not bench.shared.was_held_up(3)
        process.seat.close()

    run(test())
