"""An accelerator is one listener's; cores and simulated devices are anybody's."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest

from eais.device_type import DeviceKind
from eais_server.devices.driver import DeviceDriver, DeviceInfo, Enforcement
from eais_server.devices.exclusive import HostLocks
from eais_server.listener.inventory import Inventory

OTHER = """
import sys
from eais.device_type import DeviceKind
from eais_server.devices.driver import DeviceInfo, Enforcement
from eais_server.devices.exclusive import HostLocks

name = sys.argv[1]
locks = HostLocks()
info = DeviceInfo(name, DeviceKind.GPU, "fake", 1, 1000, 125, 1000, Enforcement.FORCED)
print(locks.hold(info), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def gpu() -> DeviceInfo:
    """A GPU that no other test, nor another run of this one, has."""
    name = f"gpu-{secrets.token_hex(8)}"
    return DeviceInfo(name, DeviceKind.GPU, "fake", 1, 1000, 125, 1000, Enforcement.FORCED)


@pytest.fixture
def locks() -> Iterator[tuple[HostLocks, HostLocks]]:
    made = (HostLocks(), HostLocks())
    yield made
    for each in made:
        each.close()


def test_an_accelerator_is_the_first_ones(
    gpu: DeviceInfo, locks: tuple[HostLocks, HostLocks]
) -> None:
    first, second = locks
    assert first.hold(gpu)
    assert first.hold(gpu)
    assert not second.hold(gpu)
    first.close()
    assert second.hold(gpu)


def test_cores_and_simulated_devices_are_anybodys(
    gpu: DeviceInfo, locks: tuple[HostLocks, HostLocks]
) -> None:
    for device in (replace(gpu, kind=DeviceKind.CPU), replace(gpu, simulated=True)):
        assert all(each.hold(device) for each in locks)


def test_it_is_free_when_its_listener_was_killed(gpu: DeviceInfo) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, gpu.id], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"True\n"
        locks = HostLocks()
        assert not locks.hold(gpu)
        other.kill()
        other.wait(30)
        assert locks.hold(gpu)
        locks.close()


class Fixed:
    """A driver of given devices."""

    def __init__(self, *devices: DeviceInfo) -> None:
        self._devices = list(devices)

    def fingerprint(self) -> list[DeviceInfo]:
        """Those."""
        return self._devices


def test_what_another_listener_has_is_not_offered(
    gpu: DeviceInfo, locks: tuple[HostLocks, HostLocks], caplog: pytest.LogCaptureFixture
) -> None:
    core = replace(gpu, id="cpu0", kind=DeviceKind.CPU)
    drivers = {"fixed": cast("DeviceDriver", Fixed(core, gpu))}
    offered = [Inventory(drivers, each.hold).devices for each in locks]
    assert offered == [(core, gpu), (core,)]
    assert f"{gpu.id} isn't offered: another listener of this host has it" in caplog.text
