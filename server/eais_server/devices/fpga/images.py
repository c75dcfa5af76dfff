"""The operator's folder of role images: each a file named by its SHA-256."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from eais.errors import EaisError
from eais.files import create_file, private_dir
from eais_server.devices.fpga.image import MAX_IMAGE_BYTES, Image, read_image

log = logging.getLogger(__name__)

SUFFIX: Final = ".role"


class ImageFolder:
    """Images that one of the keys `trusted` has signed. OSError when the folder can't be used."""

    def __init__(self, folder: Path, trusted: Sequence[ec.EllipticCurvePublicKey]) -> None:
        self._folder, self._trusted = private_dir(folder), tuple(trusted)

    def add(self, data: bytes) -> Image:
        """Keep the file of an image. IMAGE_INVALID, IMAGE_UNTRUSTED."""
        image = read_image(data, self._trusted)
        path = self._folder / f"{image.digest.hex()}{SUFFIX}"
        if not path.exists():
            create_file(path, data)
        return image

    def images(self) -> Iterator[tuple[Image, bytes]]:
        """Each image and its file, in the order of their names; a bad file is logged, not given."""
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                data = _read(path)
                image = read_image(data, self._trusted)
            except (EaisError, OSError) as error:
                log.warning("the role image %s isn't used: %s", path.name, error)
                continue
            if path.name != f"{image.digest.hex()}{SUFFIX}":
                log.warning("the role image %s isn't used: it has another's name", path.name)
                continue
            yield image, data

    def find(self, computes: bytes, format_: str) -> bytes | None:
        """The file of an image that computes a model, if there is one."""
        return next(
            (
                data
                for image, data in self.images()
                if image.header.computes == computes and image.header.format == format_
            ),
            None,
        )


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_IMAGE_BYTES + 1)
