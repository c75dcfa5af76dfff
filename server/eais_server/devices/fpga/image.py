"""Role images: what is loaded into a region of a board, signed by an operator. (Brain)

A file, named by its SHA-256:

    0    "EAISROLE"
    8    bytes of the header, bytes of the signature: u32 each, little-endian
    16   the header (`fpga_pb2.ImageHeader`), the signature, the payload

The signature is ECDSA P-256 with SHA-256, in DER, over `_SIGNED` and the header, which has the
payload's digest. A simulated board's payload is an ONNX model in one file, which states what the
role computes by being it; a real board's is an xclbin, which can't say it: so the header names
the model that a role stands for, by the digest of that model's file (`computes`).
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import DecodeError

from eais.errors import EaisError, make_error
from eais.model_digest import digest_of_files
from eais.rpc.v1 import fpga_pb2

MAX_IMAGE_BYTES: Final = 512 << 20
MAX_HEADER_BYTES: Final = 4096
MAX_SIGNATURE_BYTES: Final = 256
MAX_LOAD_MS: Final = 3_600_000
MAX_SERVICE_US: Final = 3_600_000_000
DIGEST_BYTES: Final = 32
ONNX: Final = "onnx"
XCLBIN: Final = "xclbin"

_MAGIC: Final = b"EAISROLE"
_HEAD: Final = struct.Struct("<8sII")
_SIGNED: Final = b"eais role image 1\n"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FORMATS: Final = (ONNX, XCLBIN)


class ShellVersion(NamedTuple):
    """Of the part of a board that stays: versions of one major number fit each other."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    @classmethod
    def parse(cls, text: str) -> ShellVersion:
        """Read "1.2"; ValueError for anything else."""
        major, minor = (int(part) for part in text.split("."))
        return cls(major, minor)


class RegionSize(NamedTuple):
    """What a region has, or a role needs."""

    luts: int = 0
    dsps: int = 0
    bram_kib: int = 0

    def holds(self, needed: RegionSize) -> bool:
        """Whether a role that needs this fits."""
        return all(have >= need for have, need in zip(self, needed, strict=True))


class ServiceTime(NamedTuple):
    """How long a run takes: `fixed_us`, and `us_per_row` for each row of the first input."""

    fixed_us: int = 0
    us_per_row: int = 0

    def seconds(self, rows: int) -> float:
        """Of a run of so many rows."""
        return (self.fixed_us + self.us_per_row * rows) / 1e6


_NOTHING: Final = RegionSize()
_AT_ONCE: Final = ServiceTime()


@dataclass(frozen=True, slots=True)
class RoleHeader:
    """What an image says of itself, but for its payload's digest and size.

    Attributes:
        name: for people: 1 to 64 of a-z 0-9 . _ -
        computes: SHA-256 of the model whose answers the role gives.
        shell_from, shell_to: the shells that it was built for, both included.
        format: of the payload, `ONNX` or `XCLBIN`.
        load_ms: how long loading takes.
    """

    name: str
    computes: bytes
    shell_from: ShellVersion
    shell_to: ShellVersion
    format: str = ONNX
    needs: RegionSize = _NOTHING
    load_ms: int = 0
    service: ServiceTime = _AT_ONCE


@dataclass(frozen=True, slots=True)
class Image:
    """A role image that was checked.

    Attributes:
        digest: SHA-256 of its file, which is its name.
    """

    digest: bytes
    header: RoleHeader
    payload: bytes | memoryview = field(repr=False)


def sign_image(header: RoleHeader, payload: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The file of an image.

    Raises:
        UsageError: IMAGE_INVALID for what `read_image` wouldn't take.
    """
    message = _to_message(header)
    message.payload_sha256 = hashlib.sha256(payload).digest()
    message.payload_bytes = len(payload)
    _check(message)
    text = message.SerializeToString(deterministic=True)
    signature = key.sign(_SIGNED + text, ec.ECDSA(hashes.SHA256()))
    data = _HEAD.pack(_MAGIC, len(text), len(signature)) + text + signature + payload
    if len(data) > MAX_IMAGE_BYTES:
        raise _invalid(f"it has {len(data)} bytes, the limit is {MAX_IMAGE_BYTES}")
    return data


def read_image(data: bytes | memoryview, trusted: Sequence[ec.EllipticCurvePublicKey]) -> Image:
    """The image in a file's bytes, if one of the keys `trusted` has signed it.

    Its payload is a part of `data`, which must stay as it is.

    Raises:
        UsageError: IMAGE_INVALID, which says what is wrong.
        IdentityError: IMAGE_UNTRUSTED.
    """
    view = memoryview(data)
    text, signature, payload = _parts(view)
    if not any(_signed_by(key, text, signature) for key in trusted):
        raise make_error(
            "IMAGE_UNTRUSTED", "the role image isn't signed by a key that is trusted here"
        )
    try:
        message = fpga_pb2.ImageHeader.FromString(text)
    except DecodeError:
        raise _invalid("its header can't be read") from None
    _check(message)
    if message.payload_bytes != len(payload):
        raise _invalid(f"its payload has {len(payload)} bytes, not {message.payload_bytes}")
    if hashlib.sha256(payload).digest() != message.payload_sha256:
        raise _invalid("its payload isn't the one that was signed")
    return Image(hashlib.sha256(view).digest(), _from_message(message), payload)


def check_fit(header: RoleHeader, takes: str, shell: ShellVersion, size: RegionSize) -> None:
    """Whether a role can be loaded into a region of `size` of a board.

    Raises:
        UsageError: IMAGE_SHELL.
    """
    if header.format != takes:
        raise make_error(
            "IMAGE_SHELL", f"the role's payload is {header.format}, this board takes {takes}"
        )
    if not header.shell_from <= shell <= header.shell_to:
        raise make_error(
            "IMAGE_SHELL",
            f"the role was built for shells {header.shell_from} to {header.shell_to}, "
            f"the board has {shell}",
        )
    if not size.holds(header.needs):
        raise make_error("IMAGE_SHELL", f"the role needs {header.needs}, a region has {size}")


def public_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    """A trusted key; `ConfigError` CONFIG if it is no P-256 public key."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise make_error("CONFIG", "a key that images are signed by must be a P-256 public key")
    return key


def model_digest(model: bytes, others: Iterable[tuple[str, bytes]] = ()) -> bytes:
    """What `RoleHeader.computes` says of a model: the name by which the pool knows it, too.

    Args:
        model: SHA-256 of the model's file.
        others: location and SHA-256 of each file of external data, in any order.
    """
    return bytes.fromhex(digest_of_files([("", model), *others]))


def _parts(view: memoryview) -> tuple[bytes, bytes, memoryview]:
    if len(view) > MAX_IMAGE_BYTES:
        raise _invalid(f"it has {len(view)} bytes, the limit is {MAX_IMAGE_BYTES}")
    if len(view) < _HEAD.size:
        raise _invalid("it is too short")
    magic, header_bytes, signature_bytes = _HEAD.unpack_from(view)
    if magic != _MAGIC:
        raise _invalid("it doesn't begin as one")
    if header_bytes > MAX_HEADER_BYTES or signature_bytes > MAX_SIGNATURE_BYTES:
        raise _invalid("its header or signature is too large")
    middle = _HEAD.size + header_bytes
    end = middle + signature_bytes
    if end > len(view):
        raise _invalid("it is cut short")
    return bytes(view[_HEAD.size : middle]), bytes(view[middle:end]), view[end:]


def _signed_by(key: ec.EllipticCurvePublicKey, text: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, _SIGNED + text, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _check(message: fpga_pb2.ImageHeader) -> None:
    if not _NAME.fullmatch(message.name):
        raise _invalid("its name must be 1 to 64 of a-z 0-9 . _ -")
    if message.format not in _FORMATS:
        raise _invalid(f"its payload is none of {', '.join(_FORMATS)}")
    if len(message.computes) != DIGEST_BYTES or len(message.payload_sha256) != DIGEST_BYTES:
        raise _invalid("its digests must have 32 bytes")
    if not message.payload_bytes:
        raise _invalid("it has no payload")
    if _version(message.shell_from) > _version(message.shell_to):
        raise _invalid("it names a range of shells that is empty")
    service = message.service
    if message.load_ms > MAX_LOAD_MS or max(service.fixed_us, service.us_per_row) > MAX_SERVICE_US:
        raise _invalid("its times are above an hour")


def _version(message: fpga_pb2.ShellVersion) -> ShellVersion:
    return ShellVersion(message.major, message.minor)


def _to_message(header: RoleHeader) -> fpga_pb2.ImageHeader:
    try:
        return fpga_pb2.ImageHeader(
            name=header.name,
            computes=header.computes,
            format=header.format,
            shell_from=fpga_pb2.ShellVersion(**header.shell_from._asdict()),
            shell_to=fpga_pb2.ShellVersion(**header.shell_to._asdict()),
            needs=fpga_pb2.RegionSize(**header.needs._asdict()),
            load_ms=header.load_ms,
            service=fpga_pb2.ServiceTime(**header.service._asdict()),
        )
    except ValueError:
        raise _invalid("a figure of its header is out of range") from None


def _from_message(message: fpga_pb2.ImageHeader) -> RoleHeader:
    needs, service = message.needs, message.service
    return RoleHeader(
        name=message.name,
        computes=message.computes,
        shell_from=_version(message.shell_from),
        shell_to=_version(message.shell_to),
        format=message.format,
        needs=RegionSize(needs.luts, needs.dsps, needs.bram_kib),
        load_ms=message.load_ms,
        service=ServiceTime(service.fixed_us, service.us_per_row),
    )


def _invalid(why: str) -> EaisError:
    return make_error("IMAGE_INVALID", f"the role image can't be used: {why}")
