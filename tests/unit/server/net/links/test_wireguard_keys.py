"""The agent's WireGuard key: made once, its owner's alone, and never told."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from eais.errors import ConfigError, IdentityError
from eais_server.net.links.wireguard_keys import KEY_FILE, WireguardKey, own_key


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    first = own_key(tmp_path)
    assert own_key(tmp_path) == first
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_two_agents_have_two_keys(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert own_key(tmp_path / "a").public != own_key(tmp_path / "b").public


def test_the_public_half_is_what_x25519_makes_of_the_private_one(tmp_path: Path) -> None:
    own, other = own_key(tmp_path), X25519PrivateKey.generate()
    here = X25519PrivateKey.from_private_bytes(own.private).exchange(other.public_key())
    assert here == other.exchange(X25519PublicKey.from_public_bytes(own.public))


def test_what_is_printed_of_it_is_the_public_half_alone(tmp_path: Path) -> None:
    key = own_key(tmp_path)
    for told in (repr(key), str(key), f"{key}"):
        assert repr(key.public) in told
        assert repr(key.private)[2:-1] not in told
        assert "private" not in told


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    own_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(IdentityError) as raised:
        own_key(tmp_path)
    assert raised.value.reason == "KEY_MODE"


@pytest.mark.parametrize("damaged", [b"", b"!!!!\n", base64.b64encode(b"k" * 31), b"\xff" * 44])
def test_a_file_without_a_key_is_named_and_not_quoted(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / KEY_FILE
    path.write_bytes(damaged)
    path.chmod(0o600)
    with pytest.raises(ConfigError) as raised:
        own_key(tmp_path)
    assert raised.value.reason == "STATE_DIR"
    assert str(path) in raised.value.message
    assert raised.value.__cause__ is None
    assert path.read_bytes() == damaged


def test_a_state_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent") as raised:
        own_key(tmp_path / "absent")
    assert raised.value.reason == "STATE_DIR"


def test_a_private_key_of_another_size_is_none() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        WireguardKey.of(b"k" * 31)
