"""The CPU driver: the conformance suite, and which cores a share gets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from eais.errors import EaisError, Unavailable, UsageError
from eais_server.devices.cpu import DEVICE_ID, CpuDriver
from eais_server.devices.driver import Enforcement, Reservation
from eais_server.testing.devices import check_device


def driver(cores: int | None = None, allowed: tuple[int, ...] = (2, 3, 5, 7)) -> CpuDriver:
    return CpuDriver(cores, allowed=lambda: allowed)


def test_it_is_a_device_driver() -> None:
    check_device(CpuDriver)
    check_device(lambda: CpuDriver(5))


class Overbooking(CpuDriver):
    def reserve(self, device: str, milli: int, held: Collection[Reservation] = ()) -> Reservation:
        return super().reserve(device, milli)


class Forgetful(CpuDriver):
    def open(self, *args: object) -> object:  # type: ignore[override]
        raise EaisError("MODEL_INVALID", "no model runs here")


@pytest.mark.parametrize(("wrong", "what"), [(Overbooking, "one share more"), (Forgetful, "MODEL")])
def test_the_suite_finds_a_driver_that_is_none(wrong: type[CpuDriver], what: str) -> None:
    with pytest.raises((AssertionError, EaisError), match=what):
        check_device(lambda: wrong(2))


def test_a_core_is_a_thousand_milli_devices() -> None:
    (device,) = driver().fingerprint()
    assert (device.id, device.kind.value) == (DEVICE_ID, "cpu")
    assert (device.capacity_milli, device.granularity_milli) == (4000, 125)
    assert device.enforcement is Enforcement.COOPERATIVE
    assert not device.simulated


def test_configured_cores_may_be_fewer_or_more_than_there_are() -> None:
    assert driver(2).fingerprint()[0].capacity_milli == 2000
    assert driver(6).fingerprint()[0].capacity_milli == 6000
    with pytest.raises(ValueError, match="at least 1"):
        driver(-1)


def test_shares_have_cores_of_their_own_while_there_are() -> None:
    held: list[Reservation] = []
    for milli in (1000, 2000, 1000):
        held.append(driver().reserve(DEVICE_ID, milli, held))
    assert [r.cores for r in held] == [(2,), (3, 5), (7,)]
    assert [r.threads for r in held] == [1, 2, 1]


def test_overlap_begins_on_the_cores_that_the_fewest_use() -> None:
    one = driver(6).reserve(DEVICE_ID, 3000)
    two = driver(6).reserve(DEVICE_ID, 3000, [one])
    assert (one.cores, two.cores) == ((2, 3, 5), (2, 3, 7))


def test_more_threads_than_cores_run_on_all_of_them() -> None:
    share = driver(6).reserve(DEVICE_ID, 6000)
    assert (share.threads, share.cores) == (6, (2, 3, 5, 7))


def test_reserving_changes_nothing() -> None:
    made = driver()
    assert made.reserve(DEVICE_ID, 4000) == made.reserve(DEVICE_ID, 4000)


@pytest.mark.parametrize("milli", [0, -1000, 100, 1001, 1500])
def test_nothing_between_pieces_of_a_core_and_whole_ones_can_be_kept(milli: int) -> None:
    with pytest.raises(UsageError) as caught:
        driver().reserve(DEVICE_ID, milli)
    assert caught.value.reason == "ARGUMENT"


def test_pieces_of_a_core_are_had_by_turns_on_that_core_and_forced() -> None:
    made = driver()
    first = made.reserve(DEVICE_ID, 250)
    assert (first.threads, first.cores, first.turns) == (1, (2,), "cpu0/0")
    assert first.enforcement is Enforcement.FORCED
    beside = made.reserve(DEVICE_ID, 750, [first])
    assert (beside.cores, beside.turns) == ((2,), "cpu0/0")
    other = made.reserve(DEVICE_ID, 125, [first, beside])
    assert (other.cores, other.turns) == ((3,), "cpu0/1")
    whole = made.reserve(DEVICE_ID, 2000, [first, beside, other])
    assert (whole.cores, whole.turns, whole.enforcement) == ((5, 7), "", None)


def test_a_piece_lies_where_the_pool_says() -> None:
    """On a core of its own, though that isn't the next one, and the second beside the first."""
    made = driver()
    whole = made.reserve(DEVICE_ID, 1000)
    first = made.reserve_in(3, DEVICE_ID, 750, [whole])
    assert (first.cores, first.turns, first.unit) == ((3,), "cpu0/3", 3)
    assert made.reserve_in(3, DEVICE_ID, 250, [whole, first]).cores == (3,)
    assert made.reserve_in(0, DEVICE_ID, 2000, [whole, first]).cores == (5, 7)
    with pytest.raises(Unavailable, match="in pieces") as caught:
        made.reserve_in(3, DEVICE_ID, 500, [whole, first])
    assert (caught.value.reason, caught.value.retryable) == ("NO_DEVICE", True)


def test_what_is_free_in_sum_may_be_in_pieces() -> None:
    made = driver(2)
    held = [made.reserve(DEVICE_ID, 750)]
    held.append(made.reserve(DEVICE_ID, 750, held))
    for milli in (500, 1000):
        with pytest.raises(Unavailable, match="free"):
            made.reserve(DEVICE_ID, milli, held)
    assert made.reserve(DEVICE_ID, 250, held).turns == "cpu0/0"


def test_a_full_device_says_how_much_is_free() -> None:
    held = [driver().reserve(DEVICE_ID, 3000)]
    with pytest.raises(Unavailable, match="1000 are free") as caught:
        driver().reserve(DEVICE_ID, 2000, held)
    assert caught.value.reason == "NO_DEVICE"


def test_stats_add_up_the_allowed_cores(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Some CPU @ 3 GHz\n")
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable:  40 kB\n")
    (tmp_path / "stat").write_text(
        "cpu  9 9 9 9 9 9 9 9 9 9\n"
        "cpu0 9 9 9 9 9 9 9 9 9 9\n"
        "cpu1 1 2 4 800 800 8 16 32 0 0\n"
        "cpu10 9 9 9 9 9 9 9 9 9 9\n"
        "intr 5\n"
    )
    made = CpuDriver(allowed=lambda: (1,), proc=tmp_path)
    (device,), (stats,) = made.fingerprint(), made.stats()
    assert (device.model, device.memory_bytes) == ("Some CPU @ 3 GHz", 102_400)
    assert (stats.busy_ns, stats.memory_used_bytes) == (630_000_000, 61_440)


def test_a_cpu_that_says_no_name_has_one(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\n")
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\n")
    assert CpuDriver(proc=tmp_path).fingerprint()[0].model == "CPU"


def test_the_listener_loads_neither_numpy_nor_onnxruntime_for_it() -> None:
    code = (
        "import sys, eais_server.devices.cpu as cpu; d = cpu.CpuDriver(); d.fingerprint();"
        "d.reserve('cpu0', 1000); d.stats();"
        "sys.exit(bool({'numpy', 'onnxruntime'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_share_has_its_part_of_the_memory(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("model name : Some CPU\n")
    (tmp_path / "meminfo").write_text("MemTotal: 8000 kB\n")

    def memory(milli: int, limit: int = 0) -> int:
        made = CpuDriver(4, allowed=lambda: (1, 2), memory_limit_bytes=limit, proc=tmp_path)
        return made.reserve(DEVICE_ID, milli).process_memory_bytes

    assert [memory(milli) for milli in (1000, 4000)] == [1750 << 10, 7000 << 10]
    assert [memory(1000, limit) for limit in (1 << 20, 1 << 30)] == [1 << 20, 1750 << 10]
