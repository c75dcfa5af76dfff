"""The operator's folder of role images: each a file named by its SHA-256."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from eais.errors import EaisError
from eais.files import create_file, private_dir
from eais_server.devices.fpga.image import MAX_IMAGE_BYTES, Image, RoleHeader, read_image

log = logging.getLogger(__name__)

SUFFIX: Final = ".role"


class ImageFolder:
    """Images that one of the keys `trusted` has signed. OSError when the folder can't be used."""

    def __init__(self, folder: Path, trusted: Sequence[ec.EllipticCurvePublicKey]) -> None:
        self._folder, self._trusted = private_dir(folder), tuple(trusted)
        self._seen: dict[str, tuple[tuple[int, int, int], RoleHeader | None]] = {}

    def add(self, data: bytes) -> Image:
        """Keep the file of an image. IMAGE_INVALID, IMAGE_UNTRUSTED."""
        image = read_image(data, self._trusted)
        path = self._folder / f"{image.digest.hex()}{SUFFIX}"
        if not path.exists():
            create_file(path, data)
        return image

    def headers(self) -> Iterator[tuple[Path, RoleHeader]]:
        """Each image's file and header, in the order of their names; a bad file is logged once.

        A file is checked when it is seen first, or changed.
        """
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            header = self._header(path)
            if header is not None:
                yield path, header

    def find(self, computes: bytes, format_: str) -> bytes | None:
        """The file of an image that computes a model, if there is one."""
        for path, header in self.headers():
            if header.computes == computes and header.format == format_:
                try:
                    return _read(path)
                except OSError as error:
                    log.warning("the role image %s isn't used: %s", path.name, error)
        return None

    def _header(self, path: Path) -> RoleHeader | None:
        try:
            found = path.stat()
            version = (found.st_ino, found.st_size, found.st_mtime_ns)
            seen = self._seen.get(path.name)
            if seen is None or seen[0] != version:
                seen = self._seen[path.name] = (version, self._checked(path))
        except OSError as error:
            log.warning("the role image %s isn't used: %s", path.name, error)
            return None
        return seen[1]

    def _checked(self, path: Path) -> RoleHeader | None:
        try:
            image = read_image(_read(path), self._trusted)
        except EaisError as error:
            log.warning("the role image %s isn't used: %s", path.name, error)
            return None
        if path.name != f"{image.digest.hex()}{SUFFIX}":
            log.warning("the role image %s isn't used: it has another's name", path.name)
            return None
        return image.header


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_IMAGE_BYTES + 1)
