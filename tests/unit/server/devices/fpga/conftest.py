"""Boards that are processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from eais.errors import EaisError
from eais_server.devices.fpga.boards import BoardSpec, SimulatedBoard
from tests.unit.server.devices.fpga.in_one_process import InOneProcess
from tests.unit.server.devices.fpga.rig import SHELL, public_pem


@pytest.fixture(scope="session")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the key that images here are signed by."""
    path = tmp_path_factory.mktemp("trust") / "operator.pub"
    path.write_bytes(public_pem())
    return path


def start(trusted: Path) -> SimulatedBoard:
    spec = BoardSpec("fpga0", (trusted,), shell=SHELL, memory_mib=64)
    return SimulatedBoard(spec, os.environ)


@pytest.fixture(scope="session")
def one_board(trusted: Path) -> Iterator[SimulatedBoard]:
    made = start(trusted)
    yield made
    made.close()


@pytest.fixture
def board(one_board: SimulatedBoard) -> Iterator[SimulatedBoard]:
    """One that others had before, with nothing of theirs on it."""
    yield one_board
    for region in range(one_board.spec.regions):
        one_board.management.close_user(region)
        one_board.management.reset(region)


@pytest.fixture
def own_board(trusted: Path) -> Iterator[SimulatedBoard]:
    """One to be broken."""
    made = start(trusted)
    yield made
    with suppress(EaisError):
        made.close()


@pytest.fixture
def make(board: SimulatedBoard) -> Iterator[Callable[..., InOneProcess]]:
    made: list[InOneProcess] = []

    def maker(**given: Any) -> InOneProcess:
        made.append(InOneProcess([board], **given))
        return made[-1]

    yield maker
    for driver in made:
        driver.close()
