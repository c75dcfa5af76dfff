"""What a TLS client sends when it makes its records by hand: of types that `ssl` never sends.

RFC 8446: 5.2 is how a record is protected, 7.1 to 7.3 how its keys are made, 7.2 how the next
ones are, which a KeyUpdate (4.6.3) asks for.
"""

from __future__ import annotations

import struct
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

_HASH = hashes.SHA384()
_HANDSHAKE, _DATA = 22, 23


class TlsSpeaker:
    """Says what a client would that has said nothing since its handshake (TLS_AES_256_GCM_SHA384).

    `log` is what that client's context wrote as `keylog_filename`, of this connection alone.
    """

    def __init__(self, log: Path) -> None:
        lines = (line.split() for line in log.read_text().splitlines())
        secrets = {fields[0]: fields[-1] for fields in lines}
        self._begin(bytes.fromhex(secrets["CLIENT_TRAFFIC_SECRET_0"]))

    def _begin(self, secret: bytes) -> None:
        self._secret = secret
        self._seal = AESGCM(_expanded(secret, "key", 32))
        self._iv = int.from_bytes(_expanded(secret, "iv", 12), "big")
        self._count = 0

    def data(self, said: bytes) -> bytes:
        """A record that says this."""
        return self._record(_DATA, said)

    def key_update(self, *, asks: bool) -> bytes:
        """A record that says that the next ones have other keys; `asks`: so is to be answered."""
        record = self._record(_HANDSHAKE, b"\x18\0\0\1" + bytes([asks]))
        self._begin(_expanded(self._secret, "traffic upd", _HASH.digest_size))
        return record

    def _record(self, kind: int, said: bytes) -> bytes:
        nonce = (self._iv ^ self._count).to_bytes(12, "big")
        self._count += 1
        head = struct.pack(">BHH", _DATA, 0x0303, len(said) + 17)
        return head + self._seal.encrypt(nonce, said + bytes([kind]), head)


def _expanded(secret: bytes, label: str, size: int) -> bytes:
    name = b"tls13 " + label.encode()
    info = struct.pack(">HB", size, len(name)) + name + b"\0"
    return HKDFExpand(_HASH, size, info).derive(secret)
