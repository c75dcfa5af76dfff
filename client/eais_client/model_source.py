"""The model as the caller gave it: a path with what belongs to it, or bytes.

Read once to be named by its digest, and again only if the listener lacks it. The files
are the user's own, so links are followed; what a *model* names must lie below its folder.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from eais.channel import PIECE_BYTES
from eais.errors import EaisError
from eais.onnx_external import is_plain_location, scan_model
from eais.rpc.v1 import listener_pb2
from eais_client.ort_errors import builtin_error, ort_error

HASH_BYTES = 8 << 20

Check = Callable[[], None]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a model: where it is, its SHA-256 (32 bytes) and size in bytes."""

    location: str
    sha256: bytes
    size: int
    path: Path | None = None
    data: bytes = field(default=b"", repr=False)

    def pieces(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) from `offset` to the end; one empty piece for nothing left."""
        with _opened(self.path, self.data) as view:
            if offset >= len(view):
                yield offset, b""
            for start in range(offset, len(view), PIECE_BYTES):
                yield start, bytes(view[start : start + PIECE_BYTES])


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model and its external data.

    Attributes:
        path: as the caller wrote it, or None if the model came as bytes.
        files: the model first, then its external data in order of location.
    """

    path: str | None
    files: tuple[SourceFile, ...]

    def messages(self) -> list[listener_pb2.ModelFile]:
        """The files as a session spec names them."""
        return [
            listener_pb2.ModelFile(location=f.location, sha256=f.sha256, size=f.size)
            for f in self.files
        ]

    def file(self, sha256: bytes) -> SourceFile | None:
        """The file with that digest, if it is one of this model's."""
        return next((file for file in self.files if file.sha256 == sha256), None)


def read_model(path_or_bytes: object, check: Check) -> ModelSource:
    """Digest a model; `check` is called between parts and may raise.

    Raises what onnxruntime raises: TypeError, `NoSuchFile`, `InvalidProtobuf`, `Fail`.
    """
    if isinstance(path_or_bytes, bytes):
        return _of_bytes(path_or_bytes, check)
    if isinstance(path_or_bytes, str | os.PathLike):
        return _of_path(os.fspath(path_or_bytes), check)
    raise builtin_error("ARGUMENT", TypeError, f"Unable to load from type '{type(path_or_bytes)}'")


def _of_bytes(model: bytes, check: Check) -> ModelSource:
    if _locations(model):
        text = "The model keeps tensors in other files; give its path, not its bytes."
        raise ort_error("EXTERNAL_DATA_REFUSED", "Fail", text)
    file = SourceFile("", _digest(memoryview(model), check), len(model), data=model)
    return ModelSource(None, (file,))


def _of_path(path: str | bytes, check: Check) -> ModelSource:
    if isinstance(path, bytes) or not path:
        text = f"__init__(): incompatible constructor arguments: {path!r} is no model's path"
        raise builtin_error("ARGUMENT", TypeError, text)
    try:
        with _opened(Path(path), b"") as model:
            first = SourceFile("", _digest(model, check), len(model), Path(path).absolute())
            locations = _locations(model)
    except OSError as error:
        raise _unreadable(path, error) from None
    folder = first.path.parent if first.path else Path()
    others = [_external(folder, *item, check) for item in locations.items()]
    return ModelSource(path, (first, *others))


def _unreadable(path: str, error: OSError) -> EaisError:
    begin = f"Load model from {path} failed:"
    if isinstance(error, FileNotFoundError):
        text = f"{begin}Load model {path} failed. File doesn't exist"
        return ort_error("NOT_FOUND", "NoSuchFile", text)
    if isinstance(error, IsADirectoryError):
        return ort_error("MODEL_PARSE", "InvalidProtobuf", f"{begin}Protobuf parsing failed.")
    return ort_error("ARGUMENT", "Fail", f"{begin}system error number {error.errno}")


def _locations(model: memoryview | bytes) -> dict[str, str]:
    """Where the model's external data is, in order, and a tensor that is there."""
    try:
        references = scan_model(model).references
    except EaisError:
        return {}  # the worker says what is wrong with it, in onnxruntime's words
    return {r.location: r.tensor for r in sorted(references, key=lambda r: r.location)}


def _external(folder: Path, location: str, tensor: str, check: Check) -> SourceFile:
    """The file that a model names; only one below the model's own folder is read."""
    if location.startswith("/"):
        raise _refused(tensor, "Absolute path not allowed for external data location")
    if not is_plain_location(location):
        raise _refused(tensor, f"External data path {location!r} escapes model directory")
    path = folder.joinpath(*location.split("/"))
    try:
        with _opened(path, b"") as data:
            return SourceFile(location, _digest(data, check), len(data), path)
    except FileNotFoundError:
        raise _refused(tensor, f'External data path does not exist: "{path}"') from None
    except OSError as error:
        text = f'External data path can\'t be read: "{path}": {error.strerror}'
        raise _refused(tensor, text) from None


def _refused(tensor: str, text: str) -> EaisError:
    begin = f"External data path validation failed for initializer: {tensor}. Error: "
    return ort_error("EXTERNAL_DATA_REFUSED", "Fail", begin + text)


def _digest(data: memoryview, check: Check) -> bytes:
    digest = hashlib.sha256()
    for start in range(0, len(data), HASH_BYTES):
        check()
        digest.update(data[start : start + HASH_BYTES])
    return digest.digest()


@contextmanager
def _opened(path: Path | None, data: bytes) -> Iterator[memoryview]:
    """The file's bytes without reading them all, or `data`."""
    if path is None:
        yield memoryview(data)
        return
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            yield memoryview(file.read())  # an empty map can't be made, a pipe has no size
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            view = memoryview(mapped)
            try:
                yield view
            finally:
                view.release()
