"""The simulated FPGA boards of a listener: started with it, ended with it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from eais.errors import ConfigError, EaisError
from eais.simulated import simulated_boards
from eais_server.devices.fpga.boards import BoardSpec, SimulatedBoard
from eais_server.devices.fpga.driver import FpgaDriver
from eais_server.devices.fpga.image import public_key
from eais_server.devices.fpga.images import ImageFolder
from eais_server.listener.config import ListenerConfig


def start_boards(
    config: ListenerConfig, environ: Mapping[str, str], until: ExitStack
) -> FpgaDriver:
    """The driver of as many boards as are asked for, which end with `until`. Main thread.

    Raises:
        ConfigError: CONFIG, a key or the folder can't be used.
        RemoteError: PROCESS_FAILED.
    """
    count = simulated_boards(config.simulate)
    if not count:
        return FpgaDriver()
    images = _folder(config, [_key(path) for path in config.fpga_key_files])
    boards = []
    for number in range(count):
        boards.append(SimulatedBoard(BoardSpec(f"fpga{number}", config.fpga_key_files), environ))
        until.callback(boards[-1].close)
    return FpgaDriver(boards, images=images)


def _key(path: Path) -> ec.EllipticCurvePublicKey:
    try:
        return public_key(path.read_bytes())
    except OSError as error:
        raise ConfigError("CONFIG", f"fpga_keys: {path}: {error.strerror}") from None
    except EaisError as error:
        raise ConfigError("CONFIG", f"fpga_keys: {path}: {error.message}") from None


def _folder(config: ListenerConfig, keys: list[ec.EllipticCurvePublicKey]) -> ImageFolder:
    path = Path(config.fpga_images)
    try:
        return ImageFolder(path, keys)
    except OSError as error:
        raise ConfigError("CONFIG", f"fpga_images: {path}: {error.strerror or error}") from None
