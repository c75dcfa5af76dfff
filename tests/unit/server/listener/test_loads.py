"""The pool is told which models can be loaded onto a device, and which are, as that changes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from eais.device_type import DeviceKind
from eais.errors import make_error
from eais.rpc.v1 import hosts_pb2
from eais_server.devices.driver import Reservation
from eais_server.devices.hosted import ModelFiles, ModelLoad
from eais_server.devices.sim import SimDriver
from eais_server.listener import loads
from eais_server.testing.listener_bench import ListenerBench

Run = Callable[[Coroutine[Any, Any, None]], None]
MODEL, DEVICE = "ab" * 32, "sim-fpga0"


class Boards(SimDriver):
    """A simulated device onto which images are loaded."""

    lines = 0

    def __init__(self) -> None:
        super().__init__({DeviceKind.FPGA: 1})
        self.found: tuple[ModelLoad, ...] | None = (ModelLoad(MODEL, 0.8),)

    def loads(self, device: str) -> tuple[ModelLoad, ...]:
        if self.found is None:
            raise make_error("DEVICE_LOST", f"{device} doesn't answer")
        return self.found

    def told(self, share: Reservation, descriptors: Sequence[int]) -> Reservation:
        return share

    def attach(self, share: Reservation, name: str, ends: Sequence[Any]) -> None:
        pass

    def image_of(self, files: ModelFiles) -> bytes:
        return b""

    def provide(self, share: Reservation, image: bytes) -> float:
        return 0.0

    def is_alive(self, device: str) -> bool:
        return True

    def revive(self, device: str) -> None:
        pass

    def ask_health(self, device: str) -> None:
        pass

    def release(self, share: Reservation) -> None:
        pass


def said(loads: hosts_pb2.Loads) -> list[tuple[str, int, int]]:
    return [(each.model.hex(), each.load_ms, each.ready_milli) for each in loads.models]


def test_what_can_be_loaded_is_said_when_it_changes_and_at_every_join(
    bench: ListenerBench, run: Run
) -> None:
    async def test() -> None:
        boards = Boards()
        bench.drivers["boards"] = boards
        async with bench.pool(), bench.running() as listener:
            await bench.until(lambda: listener.loads.known(DEVICE))
            boards.found = (ModelLoad(MODEL, 0.8, 1000),)
            await listener.loads.look()
            told = await bench.manager.heard("device_loads")
            while told.loads.models[0].ready_milli == 0:
                told = await bench.manager.heard("device_loads")
            assert (told.device, said(told.loads)) == (DEVICE, [(MODEL, 800, 1000)])
            # One that doesn't answer has what it had.
            boards.found = None
            await listener.loads.look()
            bench.manager.hang_up()
            join = await bench.manager.heard("join")
            found = {device.id: device for device in join.devices}
            assert said(found[DEVICE].loads) == [(MODEL, 800, 1000)]
            assert not found["cpu0"].HasField("loads")

    run(test())


def test_the_pool_is_told_of_so_many_models_and_no_more(bench: ListenerBench, run: Run) -> None:
    async def test() -> None:
        boards = Boards()
        boards.found = tuple(ModelLoad(f"{n:064x}", 0.1) for n in range(loads.MOST + 1))
        bench.drivers["boards"] = boards
        async with bench.pool(), bench.running() as listener:
            await bench.until(lambda: listener.loads.known(DEVICE))
            known = listener.loads.known(DEVICE)
            assert known is not None
            assert len(known.models) == loads.MOST

    run(test())
