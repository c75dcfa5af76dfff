"""The pool's certificate authority: who is who in a pool is what it signs.

Names come from an `Identity` that the caller has established (a grant, a token, the machine's
owner, the leaf that the peer shows), never from the signing request. Time is an argument.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from eais import files, tls
from eais.errors import IdentityError
from eais.identity import Identity, Role, pool_of_ca
from eais.join_token import SECRET_BYTES
from eais_pool.brain import ca_roll
from eais_pool.brain.ca_roll import MAX_LEAF_LIFE, Phase, Roll
from eais_pool.ca import Ca, pem_of
from eais_pool.ca_file import CaSet, dump, parse
from eais_pool.signing_request import PublicKey, accepted_key, requested_key

LEAF_LIFE = timedelta(hours=1)
ENROLMENT_LIFE = timedelta(days=30)

_FILE = "authority.pem"


class Authority:
    """A pool's CA, in one file that only its owner may read; while it is rolled, two CAs.

    What changes it (`set_leaf_life`, `begin_roll`, `advance`) is on disk before it holds; when
    the disk fails it is as before. One process has it, and changes it on one thread.
    """

    def __init__(self, directory: Path, cas: CaSet) -> None:
        self._path = directory / _FILE
        self._cas = cas
        self.pool = pool_of_ca(cas.signer.certificate)

    @classmethod
    def create(cls, directory: Path, pool: str, now: datetime) -> Authority:
        """Make the CA of a new pool in `directory`, durably; the only writer is one process.

        Raises:
            FileExistsError: there is one already; it is untouched.
            ValueError: `pool` can't be a pool's name.
            OSError: none was made.
        """
        Identity.manager(pool)  # the name is judged before anything is written
        files.private_dir(directory)
        files.remove_leftovers(directory)
        cas = CaSet(Ca.create(pool, now), Roll(leaf_life=timedelta(0)))
        files.create_file(directory / _FILE, dump(cas))
        return cls(directory, cas)

    @classmethod
    def load(cls, directory: Path) -> Authority:
        """The CA that `create` made in `directory`, as far as its roll is.

        Raises:
            IdentityError: CERT_MISSING, CERT_UNREADABLE, CERT_KEY_MISMATCH, CERT_IDENTITY or
                KEY_MODE.
        """
        path = directory / _FILE
        data = tls.read_key_file(path)
        try:
            return cls(directory, parse(data, str(path)))
        except IdentityError as error:
            error.hint = "put the folder's back-up in its place"  # nobody gives a pool a new one
            raise

    @classmethod
    def open(cls, directory: Path, pool: str, now: datetime) -> Authority:
        """The CA in `directory`, made if there is none yet; for the process that changes it.

        Raises:
            IdentityError: as `load`; CERT_UNTRUSTED when it is the CA of another pool.
            FileExistsError, ValueError, OSError: as `create`.
        """
        there = (directory / _FILE).exists()
        authority = cls.load(directory) if there else cls.create(directory, pool, now)
        if authority.pool != pool:
            raise IdentityError(
                "CERT_UNTRUSTED", f"the CA there is that of pool {authority.pool}, not of {pool}"
            )
        with suppress(OSError):  # a disk that can't be written has not to be tidied
            files.remove_leftovers(directory)
        return authority

    @property
    def ca_pem(self) -> bytes:
        """What everyone in the pool trusts, PEM: one CA certificate, two during a roll."""
        return b"".join(pem_of(certificate) for certificate in self._cas.trusted)

    @property
    def signer_pem(self) -> bytes:
        """The certificate of the CA that signs, PEM."""
        return self._cas.signer.pem

    @property
    def signer_sha256(self) -> bytes:
        """SHA-256 of the certificate of the CA that signs, in DER."""
        der = self._cas.signer.certificate.public_bytes(serialization.Encoding.DER)
        return hashlib.sha256(der).digest()

    @property
    def ends(self) -> datetime:
        """When the CA that signs ends."""
        return self._cas.signer.ends

    @property
    def roll(self) -> Roll:
        """How far a roll is."""
        return self._cas.roll

    def issue(
        self, identity: Identity, request: PublicKey | bytes, now: datetime, life: timedelta
    ) -> bytes:
        """The leaf, PEM, of `identity` for a public key or a signing request (PEM).

        It is valid from `tls.CLOCK_SKEW` before `now` until `life` after it, or until the CA
        ends; whole seconds.

        Raises:
            IdentityError: CSR_REFUSED when the request's signature, key or wishes won't do;
                CERT_EXPIRED when the CA has ended.
            ValueError: the identity is another pool's, or `life` isn't within (0, 24 h], of an
                enrolment (0, 30 d].
        """
        if identity.pool != self.pool:
            raise ValueError(f"{identity.uri} isn't of pool {self.pool}")
        most = ENROLMENT_LIFE if identity.role is Role.ENROLMENT else MAX_LEAF_LIFE
        if not timedelta(0) < life <= most:
            raise ValueError(f"the life of a {identity.role} is more than 0 and at most {most}")
        key = requested_key(request) if isinstance(request, bytes) else accepted_key(request)
        return self._cas.signer.sign(identity, key, now, life)

    def bundle(self, identity: Identity, now: datetime, life: timedelta = LEAF_LIFE) -> tls.Bundle:
        """A new key with its leaf, for an identity that lives on this machine.

        Raises:
            IdentityError, ValueError: as `issue`.
        """
        key = tls.new_key()
        leaf_pem = self.issue(identity, key.public_key(), now, life)
        return tls.make_bundle(tls.key_to_pem(key), leaf_pem, self.ca_pem)

    def token_secret(self, salt: bytes) -> bytes:
        """The secret of the join token of that salt: whoever lacks the CA's key can't tell it.

        It is made again when an operator repeats its question, and so is stored nowhere. The
        CA that signs next makes others.
        """
        derive = HKDF(hashes.SHA256(), SECRET_BYTES, salt, b"eais join token")
        return derive.derive(tls.key_to_pem(self._cas.signer.key))

    def set_leaf_life(self, life: timedelta, now: datetime) -> None:
        """Note how long leaves live from now on: the phases of a roll go by it.

        Raises:
            OSError: it isn't noted.
        """
        self._put(replace(self._cas, roll=ca_roll.with_life(self.roll, life, now)))

    def begin_roll(self, now: datetime) -> bool:
        """Announce a new CA; False if a roll is under way already, which goes on.

        Raises:
            OSError: none was begun.
        """
        if self.roll.rolling:
            return False
        successor = Ca.create(self.pool, now)
        self._put(replace(self._cas, roll=ca_roll.begin(self.roll, now), successor=successor))
        return True

    def advance(self, now: datetime) -> bool:
        """Go on to the roll's next phase if the present one is over; whether it did.

        Raises:
            OSError: the phase stays, and is to be ended later.
        """
        roll = ca_roll.advance(self.roll, now)
        if roll == self.roll:
            return False
        cas = self._cas
        if roll.phase is Phase.RETIRING and cas.successor is not None:
            self._put(CaSet(cas.successor, roll, retired=cas.signer.certificate))
        else:
            self._put(CaSet(cas.signer, roll))
        return True

    def _put(self, cas: CaSet) -> None:
        if cas != self._cas:
            files.replace_file(self._path, dump(cas))
            self._cas = cas
