"""The model as the caller gave it: a path with what belongs to it, or bytes.

Read once to be named by its digest, and again only if the listener lacks it. A file that is
another by then is `MODEL_CHANGED`: files are read, never mapped, since a map of a file that
gets shorter kills the program. What the *user* names is the user's, links and all. What the
*model* names must be a file of its own folder, wherever links lead: a model comes from others,
and what it names is sent away.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from eais.channel import CHUNK_BYTES
from eais.errors import EaisError, make_error
from eais.onnx_external import is_plain_location, scan_model
from eais.rpc.v1 import listener_pb2
from eais_client.ort_errors import builtin_error, ort_error

HASH_BYTES = 8 << 20
# No protobuf is larger: what is gets its refusal from the listener, unread here.
_MAX_PROTO_BYTES = 1 << 31

Check = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file is replaced or written to."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    regular: bool

    @classmethod
    def of(cls, fd: int) -> Stamp:
        """The stamp of an open file."""
        info = os.fstat(fd)
        regular = stat.S_ISREG(info.st_mode)
        return cls(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, regular)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a model: where it is, its SHA-256 (32 bytes) and size in bytes.

    Attributes:
        location: "" for the model itself, else where its external data says it lies.
        path: where it was read, None if it came as `data`.
        stamp: of the file that was read; None if that can't be read twice (a pipe).
    """

    location: str
    sha256: bytes
    size: int
    path: Path | None = None
    data: bytes = field(default=b"", repr=False)
    stamp: Stamp | None = field(default=None, repr=False, compare=False)

    def pieces(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) from `offset` to the end; one empty piece for nothing left.

        Raises:
            UsageError: MODEL_CHANGED, the file isn't any more what was named by `sha256`.
        """
        if offset >= self.size:
            yield offset, b""
            return
        starts = range(offset, self.size, CHUNK_BYTES)
        if self.path is None or self.stamp is None:
            yield from ((start, self.data[start : start + CHUNK_BYTES]) for start in starts)
            return
        try:
            with _opened(self.path) as fd:
                yield from self._read(fd, starts)
        except OSError as error:
            raise self._changed(error.strerror or "it can't be read") from None

    def check_unchanged(self, fd: int) -> None:
        """Raise MODEL_CHANGED if the open file was written to since its stamp was taken."""
        now = Stamp.of(fd)
        if now != self.stamp or self.size != now.size:
            raise self._changed("it was written to while it was read")

    def _read(self, fd: int, starts: range) -> Iterator[tuple[int, bytes]]:
        stamp = self.stamp
        for start in starts:
            data = os.pread(fd, min(CHUNK_BYTES, self.size - start), start)
            now = Stamp.of(fd)
            if now != stamp:  # written to, or only touched: what it holds says which
                self._check_content(fd)
                stamp = now
                data = os.pread(fd, min(CHUNK_BYTES, self.size - start), start)
            if len(data) < min(CHUNK_BYTES, self.size - start):
                raise self._changed("it has become shorter")
            yield start, data

    def _check_content(self, fd: int) -> None:
        if os.fstat(fd).st_size != self.size or _digest_of(fd, _no_check)[0] != self.sha256:
            raise self._changed("its content is another")

    def _changed(self, why: str) -> EaisError:
        name = self.location or (self.path.name if self.path else "")
        return make_error(
            "MODEL_CHANGED",
            f"the model's file {name!r} isn't any more what the session was made from: {why}",
            hint="make a new session from the model as it is now",
        )


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
        first, model = _model_at(path, check)
    except EaisError:
        raise  # a passed deadline is an OSError too
    except OSError as error:
        raise _unreadable(path, error) from None
    locations = _locations(model)
    del model  # not held while the external data is read
    place = first.path or Path(path).absolute()
    others = [_external(place, *item, check) for item in locations.items()]
    return ModelSource(path, (first, *others))


def _model_at(path: str, check: Check) -> tuple[SourceFile, bytes]:
    """The model's own file, and its bytes: what is named is what its references are read from."""
    place = Path(path).absolute()
    with _opened(place) as fd:
        stamp = Stamp.of(fd)
        if stamp.regular and stamp.size > _MAX_PROTO_BYTES:
            return _named("", place, fd, check), b""
        with os.fdopen(os.dup(fd), "rb") as file:
            model = file.read()
        digest = _digest(memoryview(model), check)
        if not stamp.regular:  # it can't be read twice
            return SourceFile("", digest, len(model), place, data=model), model
        first = SourceFile("", digest, len(model), place, stamp=stamp)
        first.check_unchanged(fd)
    return first, model


def _named(location: str, path: Path, fd: int, check: Check) -> SourceFile:
    """An open file by its digest, which is of one content: MODEL_CHANGED if it wasn't."""
    stamp = Stamp.of(fd)
    digest, size = _digest_of(fd, check)
    file = SourceFile(location, digest, size, path, stamp=stamp)
    file.check_unchanged(fd)
    return file


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


def _external(model: Path, location: str, tensor: str, check: Check) -> SourceFile:
    """The file that a model names; only one of the model's own folder is read."""
    if location.startswith("/"):
        raise _refused(tensor, "Absolute path not allowed for external data location")
    if not is_plain_location(location):
        raise _refused(tensor, f"External data path {location!r} escapes model directory")
    path = model.parent.joinpath(*location.split("/"))
    try:
        real = _inside(model, path, location, tensor)
        with _opened(real, os.O_NOFOLLOW | os.O_NONBLOCK) as fd:
            _check_own(os.fstat(fd), path, tensor)
            return _named(location, real, fd, check)
    except EaisError:
        raise
    except FileNotFoundError:
        raise _refused(tensor, f'External data path does not exist: "{path}"') from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
        why = error.strerror if isinstance(error, OSError) else "its links never end"
        raise _refused(tensor, f'External data path can\'t be read: "{path}": {why}') from None


def _inside(model: Path, path: Path, location: str, tensor: str) -> Path:
    """Where `path` leads, if that is below the folder of the model or of what it links to."""
    real, allowed = path.resolve(strict=True), model.resolve().parent
    if not (real.is_relative_to(allowed) or real.is_relative_to(model.parent.resolve())):
        raise _refused(
            tensor,
            f'External data path escapes model directory. External data path: "{location}" '
            f'resolved path: "{real}" allowed directory: "{allowed}"',
        )
    return real


def _check_own(info: os.stat_result, path: Path, tensor: str) -> None:
    """Refuse what isn't the model's alone: a pipe, a device, another file's second name."""
    if not stat.S_ISREG(info.st_mode):
        raise _refused(tensor, f'External data path is no regular file: "{path}"')
    if info.st_nlink > 1:
        text = f'External data path is a hard link, maybe to a file elsewhere: "{path}"; copy it'
        raise _refused(tensor, text)


def _refused(tensor: str, text: str) -> EaisError:
    begin = f"External data path validation failed for initializer: {tensor}. Error: "
    return ort_error("EXTERNAL_DATA_REFUSED", "Fail", begin + text)


def _digest(data: memoryview, check: Check) -> bytes:
    digest = hashlib.sha256()
    for start in range(0, len(data), HASH_BYTES):
        check()
        digest.update(data[start : start + HASH_BYTES])
    return digest.digest()


def _digest_of(fd: int, check: Check) -> tuple[bytes, int]:
    """SHA-256 and size of an open file, read from its start."""
    digest, size = hashlib.sha256(), 0
    while data := os.pread(fd, HASH_BYTES, size):
        check()
        digest.update(data)
        size += len(data)
    return digest.digest(), size


def _no_check() -> None:
    """Sending has its own deadline."""


@contextmanager
def _opened(path: Path, flags: int = 0) -> Iterator[int]:
    """A descriptor of the file, to be read. Raises OSError, for a directory too."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        yield fd
    finally:
        os.close(fd)
