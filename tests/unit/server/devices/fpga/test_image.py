"""Role images: what is signed is what is read, and everything else is refused by name."""

from __future__ import annotations

import hashlib
import random
import struct
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from eais import tls
from eais.errors import ConfigError, EaisError, IdentityError, UsageError
from eais.rpc.v1 import fpga_pb2
from eais_server.devices.fpga.image import (
    MAX_HEADER_BYTES,
    ONNX,
    XCLBIN,
    RegionSize,
    ServiceTime,
    ShellVersion,
    check_fit,
    model_digest,
    public_key,
    read_image,
    sign_image,
)
from tests.unit.server.devices.fpga.rig import HEADER, KEY, SHELL, SIZE, public_pem

PUBLIC = [KEY.public_key()]
PAYLOAD = b"what the role does"
FULL = replace(
    HEADER,
    computes=hashlib.sha256(b"model").digest(),
    needs=RegionSize(10, 2, 3),
    load_ms=250,
    service=ServiceTime(100, 7),
)
DATA = sign_image(FULL, PAYLOAD, KEY)


def refused(data: bytes, trusted: Any = PUBLIC) -> str:
    with pytest.raises(EaisError) as caught:
        read_image(data, trusted)
    return caught.value.reason


def test_what_is_signed_is_what_is_read() -> None:
    found = read_image(DATA, PUBLIC)
    assert found.header == FULL
    assert bytes(found.payload) == PAYLOAD
    assert found.digest == hashlib.sha256(DATA).digest()


def test_an_image_is_taken_from_any_of_the_trusted_keys_and_from_no_other() -> None:
    other = tls.new_key().public_key()
    assert read_image(DATA, [other, *PUBLIC]).header == FULL
    with pytest.raises(IdentityError):
        read_image(DATA, [other])
    assert refused(DATA, []) == "IMAGE_UNTRUSTED"


def test_a_signature_of_the_same_key_for_something_else_is_none() -> None:
    """Its words are this purpose's own."""
    text_bytes, signature_bytes = struct.unpack_from("<II", DATA, 8)
    text = DATA[16 : 16 + text_bytes]
    plain = KEY.sign(text, ec.ECDSA(hashes.SHA256()))
    head = struct.pack("<8sII", b"EAISROLE", text_bytes, len(plain))
    assert refused(head + text + plain + PAYLOAD) == "IMAGE_UNTRUSTED"
    assert signature_bytes


@pytest.mark.parametrize("at", range(0, len(DATA), 3))
def test_no_bit_can_be_turned(at: int) -> None:
    bad = bytearray(DATA)
    bad[at] ^= 1 << (at % 8)
    assert refused(bytes(bad)) in ("IMAGE_INVALID", "IMAGE_UNTRUSTED")


@pytest.mark.parametrize("size", range(0, len(DATA), 5))
def test_no_byte_can_be_missing(size: int) -> None:
    assert refused(DATA[:size]) in ("IMAGE_INVALID", "IMAGE_UNTRUSTED")


def test_nothing_can_be_added() -> None:
    assert refused(DATA + b"\0") == "IMAGE_INVALID"


def test_bytes_of_chance_are_no_image() -> None:
    chance = random.Random(7)
    for size in (0, 1, 15, 16, 17, 400):
        assert refused(b"EAISROLE" + chance.randbytes(size)) in (
            "IMAGE_INVALID",
            "IMAGE_UNTRUSTED",
        )
        assert refused(chance.randbytes(size)) == "IMAGE_INVALID"


def test_a_header_is_bounded_before_it_is_looked_at() -> None:
    head = struct.pack("<8sII", b"EAISROLE", MAX_HEADER_BYTES + 1, 64)
    assert refused(head + bytes(2 * MAX_HEADER_BYTES)) == "IMAGE_INVALID"


def signed(text: bytes, payload: bytes = PAYLOAD) -> bytes:
    """Whatever header, under a true signature."""
    signature = KEY.sign(b"eais role image 1\n" + text, ec.ECDSA(hashes.SHA256()))
    head = struct.pack("<8sII", b"EAISROLE", len(text), len(signature))
    return head + text + signature + payload


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "../up"},
        {"name": "a" * 65},
        {"format": "elf"},
        {"computes": b"short"},
        {"payload_sha256": bytes(32)},
        {"payload_bytes": 3},
        {"payload_bytes": 0},
        {"load_ms": 3_600_001},
        {"service": fpga_pb2.ServiceTime(us_per_row=3_600_000_001)},
        {"shell_to": fpga_pb2.ShellVersion(major=0)},
    ],
)
def test_a_signed_header_is_judged_too(changes: dict[str, Any]) -> None:
    size, _ = struct.unpack_from("<II", DATA, 8)
    header = fpga_pb2.ImageHeader.FromString(DATA[16 : 16 + size])
    assert read_image(signed(header.SerializeToString()), PUBLIC).header == FULL
    for name, value in changes.items():
        if isinstance(value, str | bytes | int):
            setattr(header, name, value)
        else:
            getattr(header, name).CopyFrom(value)
    assert refused(signed(header.SerializeToString())) == "IMAGE_INVALID"


def test_a_signed_header_that_is_no_protobuf() -> None:
    assert refused(signed(b"\xff\xff\xff")) == "IMAGE_INVALID"


@pytest.mark.parametrize(
    "changes", [{"name": "A"}, {"load_ms": -1}, {"load_ms": 2**40}, {"computes": b""}]
)
def test_what_would_not_be_read_is_not_signed(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        sign_image(replace(FULL, **changes), PAYLOAD, KEY)
    assert caught.value.reason == "IMAGE_INVALID"


def test_a_role_fits_its_shells_and_regions_that_are_large_enough() -> None:
    check_fit(FULL, ONNX, SHELL, SIZE)
    check_fit(FULL, ONNX, FULL.shell_from, FULL.needs)
    check_fit(FULL, ONNX, FULL.shell_to, SIZE)
    for form, shell, size in (
        (XCLBIN, SHELL, SIZE),
        (ONNX, ShellVersion(0, 9), SIZE),
        (ONNX, ShellVersion(2, 0), SIZE),
        (ONNX, SHELL, RegionSize(9, 100, 100)),
        (ONNX, SHELL, RegionSize(100, 1, 100)),
        (ONNX, SHELL, RegionSize(100, 100, 2)),
    ):
        with pytest.raises(UsageError) as caught:
            check_fit(FULL, form, shell, size)
        assert caught.value.reason == "IMAGE_SHELL"


def test_a_trusted_key_is_a_p256_public_key() -> None:
    assert public_key(public_pem()).public_numbers() == KEY.public_key().public_numbers()
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    others = [
        b"",
        tls.key_to_pem(KEY),
        ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(*form),
        ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(*form),
    ]
    for pem in others:
        with pytest.raises(ConfigError):
            public_key(pem)


def test_a_model_is_named_with_its_external_data_in_any_order() -> None:
    one, two = ("a", bytes(32)), ("b", b"\1" * 32)
    assert model_digest(b"m" * 32) == b"m" * 32
    assert model_digest(b"m" * 32, [one, two]) == model_digest(b"m" * 32, [two, one])
    assert model_digest(b"m" * 32, [one]) != model_digest(b"m" * 32, [("a", two[1])])


def test_service_time_is_of_rows() -> None:
    assert ServiceTime(100, 7).seconds(10) == pytest.approx(170e-6)
