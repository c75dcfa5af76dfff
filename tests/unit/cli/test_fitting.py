"""What is printed fits on a terminal of 80 cells, and all of it is in `-o wide` and json."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from eais_client.cli.main import main
from eais_client.cli.testing import DEVICE, STATUS, FakeOutside

GPU = replace(
    DEVICE,
    id="sim-fpga0",
    kind="fpga",
    model="Simulated FPGA (0.02 ms + 5 GB/s)",
    simulated=True,
    shares=(),
)
CPU = replace(DEVICE, free_milli=750, piece_enforcement="forced")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def pool(eais: FakeOutside) -> FakeOutside:
    eais.environ = {**eais.environ, "COLUMNS": "80"}
    eais.status = replace(STATUS, devices=(CPU, GPU))
    return eais


def on_a_terminal(eais: FakeOutside, *argv: str) -> list[str]:
    out = Terminal()
    assert main(argv, eais.outside(out)) == 0
    return out.getvalue().splitlines()


@pytest.mark.parametrize("argv", [("devices",), ("list",), ("top", "--once"), ("host", "list")])
def test_no_line_of_a_table_is_longer_than_the_terminal(
    pool: FakeOutside, argv: tuple[str, ...]
) -> None:
    pool.run("attach", "--type", "auto")
    lines = on_a_terminal(pool, *argv)
    assert max(map(len, lines)) <= 80, lines


def test_what_counts_of_a_device_is_there(pool: FakeOutside) -> None:
    heading, cpu, fpga = on_a_terminal(pool, "devices")
    assert " ".join(heading.split()) == "HOST DEVICE KIND MEMORY FREE USED SHARES HEALTH REAL"
    assert "forced below 1" in cpu
    assert "cooperative" in fpga
    assert fpga.endswith("simulated")


def test_wide_and_what_is_read_by_programs_have_all(pool: FakeOutside) -> None:
    assert "Simulated FPGA (0.02 ms + 5 GB/s)" in on_a_terminal(pool, "devices", "-o", "wide")[2]
    assert "Simulated FPGA (0.02 ms + 5 GB/s)" in pool.run("devices").out
    devices = pool.run("devices", "-o", "json").data["devices"]
    assert isinstance(devices, list)
    cpu = devices[0]
    assert (cpu["enforcement"], cpu["piece_enforcement"]) == ("cooperative", "forced")
