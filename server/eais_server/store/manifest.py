"""What a model consists of, and whether a tenant's manifest is fit to be taken. Does no I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from eais.errors import EaisError, make_error
from eais.onnx_external import names_memory

MODEL_FILE_NAME: Final = "model.onnx"
"""The model itself lies under this name beside its external data."""

SHA256_BYTES: Final = 32
MAX_PART_BYTES: Final = 255
MAX_LOCATION_BYTES: Final = 1024

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_SHOWN: Final = 64


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file of a model.

    Attributes:
        location: "" for the model itself, else where its external data says it lies.
        sha256: of the content, 32 bytes.
        size: of the content, in bytes.
    """

    location: str
    sha256: bytes
    size: int


@dataclass(frozen=True, slots=True)
class ManifestLimits:
    """What one model may ask for.

    Attributes:
        model_max_bytes: all of its files together.
        max_files: how many files.
    """

    model_max_bytes: int = 2 << 30
    max_files: int = 4096


def check_manifest(files: Sequence[ManifestFile], limits: ManifestLimits) -> None:
    """Judge a manifest before a byte of it is sent or looked for.

    The model comes first; every other file has a relative, '/'-separated location.

    Raises:
        UsageError: MALFORMED_MESSAGE (no model first, a digest or size that is none),
            NAME (a location that isn't legal, is there twice, or is file and folder at once).
        ModelRejected: MODEL_TOO_LARGE with metadata limit and got; EXTERNAL_DATA_REFUSED for
            a location that names memory.
    """
    if len(files) > limits.max_files:
        raise _too_large("files", limits.max_files, len(files))
    if not files or files[0].location:
        raise make_error("MALFORMED_MESSAGE", "the first file must be the model, location ''")
    for file in files:
        check_content(file.sha256, file.size)
    total = sum(file.size for file in files)
    if total > limits.model_max_bytes:
        raise _too_large("bytes", limits.model_max_bytes, total)
    _check_one_size_each(files)
    _check_locations([file.location for file in files[1:]])


def check_content(sha256: bytes, size: int) -> None:
    """Whether these can name a file's content; `UsageError` MALFORMED_MESSAGE if not."""
    if len(sha256) != SHA256_BYTES or size < 0:
        raise make_error(
            "MALFORMED_MESSAGE", "each file needs its SHA-256 (32 bytes) and a size of 0 or more"
        )


def check_location(location: str) -> None:
    """Whether external data may lie at `location`, looked at alone.

    Raises:
        UsageError: NAME.
        ModelRejected: EXTERNAL_DATA_REFUSED.
    """
    shown = f"{location[:_SHOWN]!a}"
    if names_memory(location):
        raise make_error("EXTERNAL_DATA_REFUSED", f"location {shown} names memory, not a file")
    if location == MODEL_FILE_NAME or not _legal(location):
        raise make_error(
            "NAME",
            f"location {shown} is not legal: relative, parts between '/', none of them '', '.' or "
            f"'..', no control characters or backslashes, not {MODEL_FILE_NAME!r}",
        )


def _too_large(what: str, limit: int, got: int) -> EaisError:
    return make_error(
        "MODEL_TOO_LARGE",
        f"the model has {got} {what}, the limit is {limit}",
        metadata={"limit": str(limit), "got": str(got)},
    )


def _check_one_size_each(files: Sequence[ManifestFile]) -> None:
    if len({file.sha256 for file in files}) != len({(file.sha256, file.size) for file in files}):
        raise make_error("MALFORMED_MESSAGE", "one digest is named with two sizes")


def _check_locations(locations: Sequence[str]) -> None:
    for location in locations:
        check_location(location)
    # Sorted by parts, a folder's contents follow it directly, so only neighbours can clash.
    paths = sorted(tuple(location.split("/")) for location in [MODEL_FILE_NAME, *locations])
    for path, following in pairwise(paths):
        if path == following[: len(path)]:
            shown = "/".join(following)[:_SHOWN]
            why = "is there twice" if path == following else "lies below another file"
            raise make_error("NAME", f"location {shown!a} {why}")


def _legal(location: str) -> bool:
    try:
        too_long = len(location.encode()) > MAX_LOCATION_BYTES
    except UnicodeEncodeError:  # lone surrogates
        return False
    if too_long or _CONTROL.search(location):
        return False
    return all(map(_legal_part, location.split("/")))


def _legal_part(part: str) -> bool:
    return part not in ("", ".", "..") and len(part.encode()) <= MAX_PART_BYTES
