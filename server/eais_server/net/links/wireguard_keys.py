"""The agent's own WireGuard key: made at first use, kept in its state directory, never told."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from eais import files
from eais.errors import ConfigError, IdentityError

#: In the agent's state directory; as `wg genkey` writes it, mode 0600.
KEY_FILE: Final = "wireguard.key"
#: X25519 (RFC 7748, section 5).
KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class WireguardKey:
    """A pair of X25519 keys; what is printed of it is the public one alone.

    Attributes:
        private: 32 bytes.
        public: 32 bytes; what other hosts know the agent by.
    """

    private: bytes = field(repr=False)
    public: bytes

    @classmethod
    def of(cls, private: bytes) -> WireguardKey:
        """The pair that `private` is half of. Raises ValueError if it isn't 32 bytes."""
        key = X25519PrivateKey.from_private_bytes(private)
        return cls(private, key.public_key().public_bytes_raw())


def own_key(state_dir: Path) -> WireguardKey:
    """The key of the agent whose state is in `state_dir`, made if it has none yet.

    Raises:
        IdentityError: KEY_MODE, others may read the file.
        ConfigError: STATE_DIR, it can't be read or written, or doesn't hold a key.
    """
    path = state_dir / KEY_FILE
    try:
        if not path.exists():
            _make(path)
        text = files.read_private(path)
    except files.UnsafePath as error:
        raise IdentityError(
            "KEY_MODE", str(error), hint="a key must be its owner's alone"
        ) from error
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError("STATE_DIR", f"{path}: {why}") from error
    return _read(path, text)


def _make(path: Path) -> None:
    private = X25519PrivateKey.generate().private_bytes_raw()
    try:
        files.create_file(path, base64.b64encode(private) + b"\n")
    except FileExistsError:
        return  # another first use was quicker, and its key is as good


def _read(path: Path, text: bytes) -> WireguardKey:
    try:
        private = base64.b64decode(text.strip(), validate=True)
        return WireguardKey.of(private)
    except (binascii.Error, ValueError):
        # Without the cause: it may quote what the file holds.
        raise ConfigError(
            "STATE_DIR",
            f"{path} doesn't hold a WireGuard key: {KEY_BYTES} bytes in base64",
            hint="take the file away, and the agent makes a new key; its tunnels are planned anew",
        ) from None
