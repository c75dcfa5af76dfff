"""A pool's CAs as one file, so that no crash can part a key from its certificate or its phase.

PEM blocks, in this order:

    STEADY      key, certificate
    ANNOUNCED   key and certificate of the old one, which signs; key and certificate of the new
    RETIRING    key and certificate of the new one, which signs; certificate of the old

and, last, one block EAIS CA STATE: the roll, sealed. Each step of a roll is one replacement of
the file; after a kill at any moment it is as before the step or as after it.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from eais import tls
from eais.errors import IdentityError
from eais.identity import pool_of_ca
from eais.sealed import Damaged, seal, unseal
from eais_pool.brain.ca_roll import Phase, Roll
from eais_pool.ca import Ca, pem_of

_STATE: Final = "EAIS CA STATE"
_BLOCK: Final = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END \1-----\r?\n?"
)
_KEY, _CERTIFICATE = b"PRIVATE KEY", b"CERTIFICATE"
_KINDS: Final = {
    Phase.STEADY: [_KEY, _CERTIFICATE],
    Phase.ANNOUNCED: [_KEY, _CERTIFICATE, _KEY, _CERTIFICATE],
    Phase.RETIRING: [_KEY, _CERTIFICATE, _CERTIFICATE],
}


@dataclass(frozen=True, slots=True)
class CaSet:
    """A pool's CAs: the one that signs, and during a roll the other one.

    Attributes:
        successor: which will sign; while ANNOUNCED.
        retired: which did sign; while RETIRING.
    """

    signer: Ca
    roll: Roll = field(default_factory=Roll)
    successor: Ca | None = None
    retired: x509.Certificate | None = None

    def __post_init__(self) -> None:
        phase = self.roll.phase
        others = (self.successor is not None, self.retired is not None)
        if others != (phase is Phase.ANNOUNCED, phase is Phase.RETIRING):
            raise ValueError(f"these aren't the CAs of a pool that is {phase}")

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        """The certificates that everyone in the pool trusts, the older first."""
        older = (self.retired,) if self.retired else ()
        newer = (self.successor.certificate,) if self.successor else ()
        return (*older, self.signer.certificate, *newer)


def dump(cas: CaSet) -> bytes:
    """The file's bytes."""
    parts = [tls.key_to_pem(cas.signer.key), cas.signer.pem]
    if cas.successor:
        parts += [tls.key_to_pem(cas.successor.key), cas.successor.pem]
    if cas.retired:
        parts += [pem_of(cas.retired)]
    return b"".join(parts) + _state_block(cas.roll)


def parse(data: bytes, source: str) -> CaSet:
    """The CAs in `data`; `source` begins the messages.

    Raises:
        IdentityError: CERT_MISSING, CERT_UNREADABLE, CERT_KEY_MISMATCH, or CERT_IDENTITY when
            a certificate names no pool, or not the others'.
    """
    blocks, roll = _blocks_and_roll(data, source)
    if [kind for kind, _pem in blocks] == [_KEY]:
        raise IdentityError("CERT_MISSING", f"{source}: the CA's certificate is missing")
    if [kind for kind, _pem in blocks] != _KINDS[roll.phase]:
        raise _unreadable(source, f"not the keys and certificates of a CA that is {roll.phase}")
    pems = [pem for _kind, pem in blocks]
    announced, retiring = roll.phase is Phase.ANNOUNCED, roll.phase is Phase.RETIRING
    cas = CaSet(
        signer=_ca(pems[0], pems[1], source),
        roll=roll,
        successor=_ca(pems[2], pems[3], source) if announced else None,
        retired=tls.load_certificates(pems[2], source)[0] if retiring else None,
    )
    if len({pool_of_ca(certificate) for certificate in cas.trusted}) != 1:
        raise IdentityError("CERT_IDENTITY", f"{source}: the CAs are of different pools")
    tls.check_self_signed(cas.trusted, source)
    return cas


def _ca(key_pem: bytes, certificate_pem: bytes, source: str) -> Ca:
    key = tls.key_from_pem(key_pem, source)
    certificate = tls.load_certificates(certificate_pem, source)[0]
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _unreadable(source, "not a key that a pool's CA has")
    if certificate.public_key() != key.public_key():
        raise IdentityError("CERT_KEY_MISMATCH", f"{source}: the key isn't the CA's")
    return Ca(key, certificate)


def _blocks_and_roll(data: bytes, source: str) -> tuple[list[tuple[bytes, bytes]], Roll]:
    found = list(_BLOCK.finditer(data))
    if not found or sum(len(block[0]) for block in found) != len(data):
        raise _unreadable(source, "not the blocks of a pool's CA")
    if found[-1][1] != _STATE.encode():
        raise _unreadable(source, "its end is missing")
    roll = _roll(found.pop()[2], source)
    return [(block[1], block[0]) for block in found], roll


def _state_block(roll: Roll) -> bytes:
    record = {
        "phase": roll.phase.value,
        "phase_ends": _text(roll.phase_ends),
        "leaf_life_s": roll.leaf_life.total_seconds(),
        "older_end": _text(roll.older_end),
    }
    text = base64.encodebytes(seal(record)).decode()
    return f"-----BEGIN {_STATE}-----\n{text}-----END {_STATE}-----\n".encode()


def _roll(body: bytes, source: str) -> Roll:
    try:
        record = unseal(base64.b64decode(body))
        return Roll(
            phase=Phase(record["phase"]),
            phase_ends=_time(record["phase_ends"]),
            leaf_life=timedelta(seconds=record["leaf_life_s"]),
            older_end=_time(record["older_end"]),
        )
    except (Damaged, ValueError, KeyError, TypeError, OverflowError) as error:
        raise _unreadable(source, "the state of its roll can't be read") from error


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _unreadable(source: str, why: str) -> IdentityError:
    return IdentityError("CERT_UNREADABLE", f"{source}: {why}")
