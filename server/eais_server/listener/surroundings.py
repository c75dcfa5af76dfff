"""What a listener finds when it starts: its directory, its place, its settings, its host."""

from __future__ import annotations

import argparse
import fcntl
import ipaddress
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from eais import config, files
from eais.errors import EaisError, make_error
from eais.failpoints import Reach, die_at_named_in, nowhere
from eais.net.asking import DEFAULT_SOCKET, NetAgent
from eais.toml_file import TomlFile
from eais_server.devices.driver import DeviceInfo
from eais_server.devices.exclusive import Hold, HostLocks
from eais_server.isolation import IsolationProbe, probe_level
from eais_server.listener.boards import start_boards
from eais_server.listener.config import ListenerConfig
from eais_server.listener.inventory import Inventory, find_drivers
from eais_server.listener.isolating import is_usable, within_reach
from eais_server.listener.leases import COUNTS_FOLDER
from eais_server.listener.manager_place import ManagerPlace, own_address
from eais_server.listener.place import load_place
from eais_server.process import ExecSpawner, Spawner, clean_up
from eais_server.vnic import VnicDriver
from eais_server.vnic.loopback import in_range

log = logging.getLogger(__name__)

_LOOK_AGAIN_S: Final = 0.05
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a listener is made of that isn't its own.

    Attributes:
        directory: the listener's own.
        pool_file: where the manager says where it is.
        address: of both planes.
        isolation: what this host can give.
        level: the isolation level of workers.
        clock: seconds, monotonic.
        now: the time of day, aware.
        disk: changes the disk, where leases, specs, counters and quarantined models are kept.
        agent: the network agent of this host, which makes the kernel's vNICs.
        vnics: other drivers, by name.
    """

    directory: Path
    pool_file: Path
    address: str
    config: ListenerConfig
    inventory: Inventory
    spawner: Spawner
    isolation: IsolationProbe
    level: int
    boot_id: str
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    disk: files.DiskOps = files.DISK
    agent: NetAgent | None = None
    vnics: Mapping[str, VnicDriver] = field(default_factory=dict)
    reach: Reach = nowhere


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the listener's command line."""
    parser.add_argument("--state-dir", type=Path, required=True, metavar="D")
    parser.add_argument("--pool-file", type=Path, required=True, metavar="F")
    parser.add_argument("--config", type=Path, metavar="FILE")
    parser.add_argument("--bind", metavar="ADDRESS", help="of both planes")
    parser.add_argument("--parent-pid", type=int, metavar="PID", help="end when this process does")
    parser.add_argument("--test-failpoints", type=Path, help=argparse.SUPPRESS)


@contextmanager
def hold_lock(directory: Path) -> Iterator[None]:
    """Be the one listener of `directory`.

    Raises:
        ConfigError: LOCKED, another one is; STATE_DIR, it can't be used.
    """
    try:
        files.private_dir(directory)
        lock = files.open_lock(directory / "lock")
    except OSError as error:
        raise unusable(directory, error) from None
    try:
        _take(lock, directory)
        yield
    finally:
        os.close(lock)


def unusable(directory: Path, error: OSError) -> EaisError:
    """STATE_DIR, naming the place once: our own errors name it themselves."""
    text = f"{directory}: {error.strerror}" if error.strerror else str(error)
    return make_error("STATE_DIR", text)


def _take(lock: int, directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise make_error("LOCKED", f"another listener uses {directory}") from None


def surroundings(
    given: argparse.Namespace, environ: Mapping[str, str], until: ExitStack
) -> Surroundings:
    """What the flags name, waiting for an identity and a manager if there never was one.

    `until`: with which the processes of its devices end.

    Raises:
        EaisError: CONFIG, ISOLATION_UNAVAILABLE, PROCESS_FAILED, STATE_DIR.
    """
    directory: Path = given.state_dir.absolute()
    file = config.read_pool_file(given.config)
    settings = config.load(
        ListenerConfig,
        table="listener",
        flags={"bind": given.bind},
        environ=environ,
        file=file,
    )
    _await_file(directory / "identity.pem")
    clean_up(directory / "workers")
    drivers = find_drivers(settings, directory, start_boards(settings, environ, until))
    inventory = Inventory(drivers, _offered(settings.isolation))
    probe = (
        within_reach(probe_level(), inventory.devices) if not settings.isolation else probe_level()
    )
    level = _level(settings, probe)
    return Surroundings(
        directory=directory,
        pool_file=given.pool_file.absolute(),
        address=settings.bind or _address(directory, given.pool_file.absolute(), file),
        config=settings,
        inventory=inventory,
        spawner=ExecSpawner(
            directory / "workers",
            level=level,
            secret_root=secret_root(directory, given.pool_file.absolute()),
            environ=environ,
            data_limit_bytes=settings.worker_memory_bytes or None,
            log_format=settings.log_format,
            lines=inventory.lines,
            counts=directory / COUNTS_FOLDER,
        ),
        isolation=probe,
        level=level,
        boot_id=_BOOT_ID.read_text().strip(),
        agent=NetAgent(Path(settings.net_agent) if settings.net_agent else DEFAULT_SOCKET),
        reach=die_at_named_in(given.test_failpoints) if given.test_failpoints else nowhere,
    )


def secret_root(directory: Path, pool_file: Path) -> Path:
    """What workers must not read: an embedded pool's whole state, else the listener's own."""
    pool = pool_file.parent
    return pool if directory.is_relative_to(pool) else directory


def _offered(isolation: int) -> Hold:
    """Which devices are: those that workers can use there, and no other listener has."""
    locks = HostLocks()

    def hold(device: DeviceInfo) -> bool:
        if not is_usable(device, isolation):
            files = ", ".join(device.needs)
            log.error("%s isn't offered: isolation = 2, and its workers open %s", device.id, files)
            return False
        return locks.hold(device)

    return hold


def _level(settings: ListenerConfig, probe: IsolationProbe) -> int:
    level = settings.level(probe.level)
    if level > probe.level:
        text = f"isolation = {level}, but this host gives {probe.level}: {probe.reason}"
        raise make_error("ISOLATION_UNAVAILABLE", text)
    if level < 2:
        log.warning("workers are isolated at level %s: %s", level, probe.reason or "as set")
    return level


def _await_file(path: Path) -> None:
    """Wait for a file that another process is about to write, at the first start."""
    if not path.exists():
        log.info("waiting for %s", path)
    while not path.exists():
        time.sleep(_LOOK_AGAIN_S)


def _address(directory: Path, pool_file: Path, file: TomlFile | None) -> str:
    """Where to serve when nobody said: as it joined or was before; beside this machine's manager.

    Raises:
        ConfigError: ADDRESS, on a host of its own it has never been anywhere.
    """
    kept = load_place(directory / "place.json", "").address
    if pool_file.parent == directory:
        if not (said := own_address(pool_file) or kept):
            raise make_error("ADDRESS", "say an address of this machine to --bind")
        return said
    bound = file.table("manager").get("bind") if file else None
    if isinstance(bound, str) and bound:
        return bound
    return kept if in_range(kept) else beside(_await_manager(pool_file))


def _await_manager(pool_file: Path) -> str:
    while True:
        try:
            return ManagerPlace.read(pool_file).address
        except EaisError as error:
            if error.reason != "POOL_NOT_RUNNING":
                raise
        time.sleep(_LOOK_AGAIN_S)


def beside(manager: str) -> str:
    """The address after that of this machine's manager, or the same if it isn't a loopback plan's:
    it was bound to an address that others come to, and so is its listener.
    """
    return str(ipaddress.ip_address(manager) + 1) if in_range(manager) else manager
